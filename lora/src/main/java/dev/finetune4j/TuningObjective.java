package dev.finetune4j;

import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.data.batch.ComparisonEncoder;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.data.batch.Encoding;
import dev.finetune4j.data.batch.SftEncoder;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.objective.AnswerLoss;
import dev.finetune4j.lora.objective.Dpo;
import dev.finetune4j.lora.objective.Hinge;
import dev.finetune4j.lora.objective.Ipo;
import dev.finetune4j.lora.objective.Kto;
import dev.finetune4j.lora.objective.KtoObjective;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.objective.PairLoss;
import dev.finetune4j.lora.objective.PreferenceLoss;
import dev.finetune4j.lora.objective.PreferenceObjective;
import dev.finetune4j.lora.objective.ReferenceScores;
import dev.finetune4j.lora.objective.RobustDpo;
import dev.finetune4j.lora.objective.SftObjective;
import dev.finetune4j.lora.objective.StartCheck;
import dev.finetune4j.lora.objective.WithSft;
import dev.finetune4j.lora.train.DpoSettings;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * What a fine-tuning minimizes: the cross entropy of answers, or a loss on preferences, which compares sequences. Immutable.
 *
 * @param call what the builder calls it, for errors
 * @param loss null for the cross entropy
 */
record TuningObjective(String call, @Nullable PreferenceLoss loss) {
    /** Supervised fine-tuning. */
    static final TuningObjective SUPERVISED = new TuningObjective("", null);

    /** Preferences are learned from few differences between answers that the model can give already. */
    private static final double SHARE_OF_RATE = 0.1;

    /** DPO's loss of a pair. */
    static PairLoss loss(DpoSettings settings) {
        double beta = settings.beta();
        PairLoss pairs = switch (settings.loss()) {
            case SIGMOID -> new Dpo(beta, settings.labelSmoothing());
            case ROBUST -> new RobustDpo(beta, settings.labelSmoothing());
            case HINGE -> new Hinge(beta);
            case IPO -> new Ipo(beta);
        };
        return settings.sftWeight() == 0 ? pairs : new WithSft(pairs, settings.sftWeight(), AnswerLoss.EACH_ANSWER);
    }

    /** What does not go together with it. */
    List<String> problems(@Nullable TuningMethod method, FineTuning.Encoding encoding) {
        List<String> problems = new ArrayList<>();
        if (loss == null) {
            return problems;
        }
        if (loss.needsReference() && method != null && method.adapter() == null) {
            problems.add(
                    call + " compares with the model as it was, but full() trains its own weights; train an adapter,"
                            + " or choose orpo(…), simPo(…) or cpo(…), which need no reference");
        }
        if (encoding.trainOn() != TrainOn.ANSWERS) {
            problems.add("trainOn(…) is " + encoding.trainOn() + ", but " + call
                    + " compares the last answers and nothing else; leave trainOn(…) out");
        }
        if (encoding.cache() != null) {
            problems.add("encodingCache(…) keeps the examples of supervised fine-tuning, but " + call
                    + " encodes pairs of answers; leave it out");
        }
        if (encoding.truncation() == Truncation.PROPORTIONAL) {
            problems.add("truncation(PROPORTIONAL) cuts answers, but " + call
                    + " has to compare whole ones; choose another policy");
        }
        return problems;
    }

    /** How much of the usual learning rate of the method it takes. */
    double shareOfRate() {
        return loss == null ? 1 : SHARE_OF_RATE;
    }

    /** How many sequences an example has. */
    int sequences() {
        return loss == null ? 1 : 2;
    }

    /** The examples as tokens. */
    EncodedDataset encode(Dataset dataset, ChatEncoder encoder, Encoding encoding) {
        if (loss == null) {
            return new SftEncoder(encoder, encoding).encode(dataset);
        }
        return new ComparisonEncoder(
                        encoder, encoding, loss instanceof Kto ? KtoExample.class : PreferenceExample.class)
                .encode(dataset);
    }

    /** Whether it compares with the model as it was. */
    boolean needsReference() {
        return loss != null && loss.needsReference();
    }

    /**
     * The objective of the training loop.
     *
     * @param reference the model as it is before the training
     * @param trained the model that is trained
     * @param method makes the latter of the former
     * @param ranks that train together
     * @param known what the reference says of examples that come again; null to ask it each time
     */
    Objective of(
            CausalLM reference,
            CausalLM trained,
            TuningMethod method,
            Communicator ranks,
            @Nullable ReferenceScores known) {
        PreferenceLoss chosen = loss;
        if (chosen == null) {
            return new SftObjective();
        }
        StartCheck check = new StartCheck(chosen.needsReference() && startsAsReference(trained, method));
        if (chosen instanceof Kto kto) {
            return new KtoObjective(kto, reference, check, ranks, known);
        }
        return new PreferenceObjective(
                (PairLoss) Objects.requireNonNull(chosen),
                chosen.needsReference() ? reference : null,
                check,
                chosen.needsReference() ? known : null);
    }

    /** Whether the two models answer alike before the first step: not with noise, nor where dropout hides a part of what was learned. */
    private static boolean startsAsReference(CausalLM trained, TuningMethod method) {
        AdapterSettings adapter = method.adapter();
        if (trained.hasNoise()) {
            return false;
        }
        if (method.continued() != null) {
            return !trained.hasDropout();
        }
        return adapter != null && startsAsBase(adapter);
    }

    /** Whether a new adapter changes no answer, not even by rounding. */
    private static boolean startsAsBase(AdapterSettings adapter) {
        return adapter instanceof LoraSettings lora ? !lora.initWeights().readsBase() : adapter.virtualTokens() == 0;
    }
}
