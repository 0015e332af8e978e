package dev.finetune4j.core.generate;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How text is generated. Immutable; {@link #toBuilder} leads to a changed copy. Names and order of the rules follow
 * transformers: repetition penalty, n-grams that may not repeat, temperature, top-k, top-p, min-p. The presence
 * and frequency penalties, which transformers does not have, follow the repetition penalty.
 *
 * @param maxNewTokens the most tokens of one answer, at least 1
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
 */
public record GenerationSettings(
        int maxNewTokens,
        double temperature,
        int topK,
        double topP,
        double minP,
        double repetitionPenalty,
        double presencePenalty,
        double frequencyPenalty,
        int noRepeatNgramSize,
        long seed) {
    public GenerationSettings {
        List<String> problems = new ArrayList<>();
        if (maxNewTokens < 1) {
            problems.add("maxNewTokens must be at least 1, but is " + maxNewTokens);
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
        return new GenerationSettings(512, 0, 0, 1, 0, 1, 0, 0, 0, 0);
    }

    /** Draws with temperature 0.7 from the tokens that make up 90 % of the probability, up to 512 tokens. */
    public static GenerationSettings sampling(long seed) {
        return new GenerationSettings(512, 0.7, 0, 0.9, 0, 1, 0, 0, 0, seed);
    }

    /** Makes settings. Each method sets the component of its name, once; a second call is an {@link IllegalStateException}. */
    public static final class Builder {
        private final Map<String, Number> set = new LinkedHashMap<>();
        private int maxNewTokens;
        private double temperature;
        private int topK;
        private double topP;
        private double minP;
        private double repetitionPenalty;
        private double presencePenalty;
        private double frequencyPenalty;
        private int noRepeatNgramSize;
        private long seed;

        private Builder(GenerationSettings from) {
            maxNewTokens = from.maxNewTokens;
            temperature = from.temperature;
            topK = from.topK;
            topP = from.topP;
            minP = from.minP;
            repetitionPenalty = from.repetitionPenalty;
            presencePenalty = from.presencePenalty;
            frequencyPenalty = from.frequencyPenalty;
            noRepeatNgramSize = from.noRepeatNgramSize;
            seed = from.seed;
        }

        /** Sets {@link GenerationSettings#maxNewTokens}. */
        public Builder maxNewTokens(int value) {
            once("maxNewTokens", value);
            maxNewTokens = value;
            return this;
        }

        /** Sets {@link GenerationSettings#temperature}. */
        public Builder temperature(double value) {
            once("temperature", value);
            temperature = value;
            return this;
        }

        /** Sets {@link GenerationSettings#topK}. */
        public Builder topK(int value) {
            once("topK", value);
            topK = value;
            return this;
        }

        /** Sets {@link GenerationSettings#topP}. */
        public Builder topP(double value) {
            once("topP", value);
            topP = value;
            return this;
        }

        /** Sets {@link GenerationSettings#minP}. */
        public Builder minP(double value) {
            once("minP", value);
            minP = value;
            return this;
        }

        /** Sets {@link GenerationSettings#repetitionPenalty}. */
        public Builder repetitionPenalty(double value) {
            once("repetitionPenalty", value);
            repetitionPenalty = value;
            return this;
        }

        /** Sets {@link GenerationSettings#presencePenalty}. */
        public Builder presencePenalty(double value) {
            once("presencePenalty", value);
            presencePenalty = value;
            return this;
        }

        /** Sets {@link GenerationSettings#frequencyPenalty}. */
        public Builder frequencyPenalty(double value) {
            once("frequencyPenalty", value);
            frequencyPenalty = value;
            return this;
        }

        /** Sets {@link GenerationSettings#noRepeatNgramSize}. */
        public Builder noRepeatNgramSize(int value) {
            once("noRepeatNgramSize", value);
            noRepeatNgramSize = value;
            return this;
        }

        /** Sets {@link GenerationSettings#seed}. */
        public Builder seed(long value) {
            once("seed", value);
            seed = value;
            return this;
        }

        private void once(String name, Number value) {
            Number earlier = set.putIfAbsent(name, value);
            if (earlier != null) {
                throw new IllegalStateException(name + " was already set to " + earlier + "; set it once");
            }
        }

        /**
         * The settings.
         *
         * @throws SettingsException if some are out of range; the message names all of them
         */
        public GenerationSettings build() {
            return new GenerationSettings(
                    maxNewTokens,
                    temperature,
                    topK,
                    topP,
                    minP,
                    repetitionPenalty,
                    presencePenalty,
                    frequencyPenalty,
                    noRepeatNgramSize,
                    seed);
        }
    }
}
