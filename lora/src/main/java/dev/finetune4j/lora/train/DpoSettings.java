package dev.finetune4j.lora.train;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.message.SetOnce;
import java.util.ArrayList;
import java.util.List;

/**
 * How direct preference optimization learns from pairs of answers. The reference is the model as the training finds it. Immutable.
 *
 * @param beta strength of the pull towards the reference, above 0; 0.1 is usual
 * @param loss of a pair
 * @param labelSmoothing share of the pairs taken to be the wrong way round, from 0 to below 0.5; for {@link Loss#SIGMOID} that is
 *     conservative DPO, and {@link Loss#ROBUST} corrects for it
 * @param sftWeight weight of the cross entropy of the chosen answers beside it, 0 or more; 0 for none
 */
public record DpoSettings(double beta, Loss loss, double labelSmoothing, double sftWeight) {
    /** The loss of a pair, by its margin: how much more than the reference the model prefers the chosen answer. */
    public enum Loss {
        /** {@code -log σ(β margin)}, as in the paper. */
        SIGMOID,
        /** The same without bias for a known share of wrong pairs. */
        ROBUST,
        /** {@code max(0, 1 - β margin)}. */
        HINGE,
        /** {@code (margin per token - 1 / (2 β))²}. */
        IPO
    }

    /** @throws SettingsException naming every value that cannot work */
    public DpoSettings {
        Arguments.given(loss, "loss(loss)");
        List<String> problems = new ArrayList<>();
        if (!(beta > 0) || Double.isInfinite(beta)) {
            problems.add("the beta of dpo(…) must be above 0 and finite, but is " + beta + "; 0.1 is usual");
        }
        if (!(labelSmoothing >= 0 && labelSmoothing < 0.5)) {
            problems.add("the labelSmoothing of dpo(…) must be at least 0 and below 0.5, but is " + labelSmoothing);
        }
        if (labelSmoothing != 0 && (loss == Loss.HINGE || loss == Loss.IPO)) {
            problems.add("the loss " + loss + " has no label smoothing, but labelSmoothing is " + labelSmoothing
                    + "; leave it out, or choose SIGMOID or ROBUST");
        }
        if (!(sftWeight >= 0) || Double.isInfinite(sftWeight)) {
            problems.add("the sftWeight of dpo(…) must be 0 or more and finite, but is " + sftWeight);
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Starts from the sigmoid loss with a beta of 0.1, nothing else. */
    public static Builder builder() {
        return new Builder();
    }

    /** Collects the settings. Each is set once; values are checked together at the end. Not thread-safe. */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private double beta = 0.1;
        private Loss loss = Loss.SIGMOID;
        private double labelSmoothing;
        private double sftWeight;

        private Builder() {}

        /** Strength of the pull towards the reference; 0.1 by default. */
        public Builder beta(double value) {
            beta = once.set("beta", value);
            return this;
        }

        /** The loss of a pair; {@link Loss#SIGMOID} by default. */
        public Builder loss(Loss value) {
            loss = once.set("loss", Arguments.given(value, "loss(value)"));
            return this;
        }

        /** Share of the pairs taken to be the wrong way round; 0 by default. */
        public Builder labelSmoothing(double value) {
            labelSmoothing = once.set("labelSmoothing", value);
            return this;
        }

        /** Weight of the cross entropy of the chosen answers; 0 by default. */
        public Builder sftWeight(double value) {
            sftWeight = once.set("sftWeight", value);
            return this;
        }

        /**
         * Checks the settings.
         *
         * @throws SettingsException naming every value that cannot work
         */
        public DpoSettings build() {
            return new DpoSettings(beta, loss, labelSmoothing, sftWeight);
        }
    }
}
