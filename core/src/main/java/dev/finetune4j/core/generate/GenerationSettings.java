package dev.finetune4j.core.generate;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.message.SetOnce;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * How text is generated. Immutable; {@link #toBuilder} leads to a changed copy. Names and order of the rules follow
 * transformers: logit bias (its {@code sequence_bias}), repetition penalty, n-grams that may not repeat, fewest new tokens,
 * temperature, top-k, top-p, min-p. The presence and frequency penalties, which transformers does not have, follow the
 * repetition penalty.
 *
 * @param maxNewTokens the most tokens of one answer, at least 1
 * @param minNewTokens no token ends the answer, and no stop string is heeded, before it has this many; 0 for any number
 * @param temperature divisor of the logits; 0 takes the likeliest token each time and ignores the other rules but
 *     those about repetition
 * @param topK only the k likeliest tokens may be drawn; 0 for no limit
 * @param topP only the likeliest tokens that together reach this probability may be drawn; 1 for no limit
 * @param minP only tokens with at least this share of the likeliest one's probability may be drawn, at most 1; 0 for
 *     no limit
 * @param repetitionPenalty above 1 makes tokens that already stand in the text less likely: their logits are
 *     divided by it, or multiplied when negative; 1 for none
 * @param presencePenalty is subtracted from the logit of each token that already stands in the text; 0 for none
 * @param frequencyPenalty is subtracted from the logit of a token once for each time that it stands in the text; 0 for
 *     none
 * @param noRepeatNgramSize no run of this many tokens may stand in the text twice; 0 for no limit
 * @param seed the start of the random draws; equal seeds give equal texts on the same device and thread count
 * @param stop texts that end the answer as soon as it contains one, wherever tokens begin and end; the answer stops before
 *     it. Empty for none
 * @param logitBias is added to the logits of tokens, by id, before all other rules: -100 forbids a token in practice, 100
 *     forces it. Empty for none
 */
public record GenerationSettings(
        int maxNewTokens,
        int minNewTokens,
        double temperature,
        int topK,
        double topP,
        double minP,
        double repetitionPenalty,
        double presencePenalty,
        double frequencyPenalty,
        int noRepeatNgramSize,
        long seed,
        List<String> stop,
        Map<Integer, Double> logitBias) {
    public GenerationSettings {
        List<String> problems = new ArrayList<>();
        if (maxNewTokens < 1) {
            problems.add("maxNewTokens must be at least 1, but is " + maxNewTokens);
        }
        if (minNewTokens < 0 || minNewTokens > maxNewTokens) {
            problems.add("minNewTokens must be 0 to maxNewTokens (" + maxNewTokens + "), but is " + minNewTokens);
        }
        if (!(temperature >= 0) || Double.isInfinite(temperature)) {
            problems.add("temperature must be 0 (likeliest token) or more, but is " + temperature);
        }
        if (topK < 0) {
            problems.add("topK must be 0 (no limit) or more, but is " + topK);
        }
        if (!(topP > 0 && topP <= 1)) {
            problems.add("topP must be above 0 and at most 1 (no limit), but is " + topP);
        }
        if (!(minP >= 0 && minP <= 1)) {
            problems.add("minP must be at least 0 (no limit) and at most 1, but is " + minP);
        }
        if (!(repetitionPenalty > 0) || Double.isInfinite(repetitionPenalty)) {
            problems.add("repetitionPenalty must be above 0 (1 for none), but is " + repetitionPenalty);
        }
        if (!Double.isFinite(presencePenalty)) {
            problems.add("presencePenalty must be a number (0 for none), but is " + presencePenalty);
        }
        if (!Double.isFinite(frequencyPenalty)) {
            problems.add("frequencyPenalty must be a number (0 for none), but is " + frequencyPenalty);
        }
        if (noRepeatNgramSize < 0) {
            problems.add("noRepeatNgramSize must be 0 (no limit) or more, but is " + noRepeatNgramSize);
        }
        stop = List.copyOf(stop);
        if (stop.contains("")) {
            problems.add("stop[" + stop.indexOf("") + "] is empty; leave it out");
        }
        logitBias = Map.copyOf(logitBias);
        logitBias.forEach((id, bias) -> {
            if (id < 0 || !Double.isFinite(bias)) {
                problems.add("logitBias adds " + bias + " to the token " + id
                        + ", but ids are not negative and a bias is a number, such as -100 to forbid a token");
            }
        });
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Settings in the making, which start as {@link #greedy}. */
    public static Builder builder() {
        return greedy().toBuilder();
    }

    /** Settings in the making, which start as these. */
    public Builder toBuilder() {
        return new Builder(this);
    }

    /** The likeliest token each time, up to 512 tokens. */
    public static GenerationSettings greedy() {
        return new GenerationSettings(512, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, List.of(), Map.of());
    }

    /** Draws with temperature 0.7 from the tokens that make up 90 % of the probability, up to 512 tokens. */
    public static GenerationSettings sampling(long seed) {
        return greedy().toBuilder().temperature(0.7).topP(0.9).seed(seed).build();
    }

    /** Makes settings. Each method sets the component of its name, once; a second call is an {@link IllegalStateException}. */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private int maxNewTokens;
        private int minNewTokens;
        private double temperature;
        private int topK;
        private double topP;
        private double minP;
        private double repetitionPenalty;
        private double presencePenalty;
        private double frequencyPenalty;
        private int noRepeatNgramSize;
        private long seed;
        private List<String> stop;
        private Map<Integer, Double> logitBias;

        private Builder(GenerationSettings from) {
            maxNewTokens = from.maxNewTokens;
            minNewTokens = from.minNewTokens;
            temperature = from.temperature;
            topK = from.topK;
            topP = from.topP;
            minP = from.minP;
            repetitionPenalty = from.repetitionPenalty;
            presencePenalty = from.presencePenalty;
            frequencyPenalty = from.frequencyPenalty;
            noRepeatNgramSize = from.noRepeatNgramSize;
            seed = from.seed;
            stop = from.stop;
            logitBias = from.logitBias;
        }

        /** Sets {@link GenerationSettings#maxNewTokens}. */
        public Builder maxNewTokens(int value) {
            maxNewTokens = once.set("maxNewTokens", value);
            return this;
        }

        /** Sets {@link GenerationSettings#minNewTokens}. */
        public Builder minNewTokens(int value) {
            minNewTokens = once.set("minNewTokens", value);
            return this;
        }

        /** Sets {@link GenerationSettings#temperature}. */
        public Builder temperature(double value) {
            temperature = once.set("temperature", value);
            return this;
        }

        /** Sets {@link GenerationSettings#topK}. */
        public Builder topK(int value) {
            topK = once.set("topK", value);
            return this;
        }

        /** Sets {@link GenerationSettings#topP}. */
        public Builder topP(double value) {
            topP = once.set("topP", value);
            return this;
        }

        /** Sets {@link GenerationSettings#minP}. */
        public Builder minP(double value) {
            minP = once.set("minP", value);
            return this;
        }

        /** Sets {@link GenerationSettings#repetitionPenalty}. */
        public Builder repetitionPenalty(double value) {
            repetitionPenalty = once.set("repetitionPenalty", value);
            return this;
        }

        /** Sets {@link GenerationSettings#presencePenalty}. */
        public Builder presencePenalty(double value) {
            presencePenalty = once.set("presencePenalty", value);
            return this;
        }

        /** Sets {@link GenerationSettings#frequencyPenalty}. */
        public Builder frequencyPenalty(double value) {
            frequencyPenalty = once.set("frequencyPenalty", value);
            return this;
        }

        /** Sets {@link GenerationSettings#noRepeatNgramSize}. */
        public Builder noRepeatNgramSize(int value) {
            noRepeatNgramSize = once.set("noRepeatNgramSize", value);
            return this;
        }

        /** Sets {@link GenerationSettings#seed}. */
        public Builder seed(long value) {
            seed = once.set("seed", value);
            return this;
        }

        /** Sets {@link GenerationSettings#stop}. */
        public Builder stop(String... values) {
            return stop(Arrays.asList(Arguments.given(values, "stop(values)")));
        }

        /** Sets {@link GenerationSettings#stop}. */
        public Builder stop(List<String> values) {
            stop = List.copyOf(once.set("stop", values));
            return this;
        }

        /** Sets {@link GenerationSettings#logitBias}. */
        public Builder logitBias(Map<Integer, Double> value) {
            logitBias = Map.copyOf(once.set("logitBias", value));
            return this;
        }

        /**
         * The settings.
         *
         * @throws SettingsException if some are out of range; the message names all of them
         */
        public GenerationSettings build() {
            return new GenerationSettings(
                    maxNewTokens,
                    minNewTokens,
                    temperature,
                    topK,
                    topP,
                    minP,
                    repetitionPenalty,
                    presencePenalty,
                    frequencyPenalty,
                    noRepeatNgramSize,
                    seed,
                    stop,
                    logitBias);
        }
    }
}
