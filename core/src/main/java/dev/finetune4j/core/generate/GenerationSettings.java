package dev.finetune4j.core.generate;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;

/**
 * How text is generated. Immutable; the {@code with…} methods return changed copies. Names and order of the rules follow
 * transformers: repetition penalty, temperature, top-k, top-p, min-p.
 *
 * @param maxNewTokens the most tokens of one answer, at least 1
 * @param temperature divisor of the logits; 0 takes the likeliest token each time and ignores the other rules but the
 *     repetition penalty
 * @param topK only the k likeliest tokens may be drawn; 0 for no limit
 * @param topP only the likeliest tokens that together reach this probability may be drawn; 1 for no limit
 * @param minP only tokens with at least this share of the likeliest one's probability may be drawn; 0 for no limit
 * @param repetitionPenalty above 1 makes tokens that already stand in the text less likely; 1 for none
 * @param seed the start of the random draws; equal seeds give equal texts on the same device and thread count
 */
public record GenerationSettings(
        int maxNewTokens, double temperature, int topK, double topP, double minP, double repetitionPenalty, long seed) {
    public GenerationSettings {
        List<String> problems = new ArrayList<>();
        if (maxNewTokens < 1) {
            problems.add("maxNewTokens must be at least 1, but is " + maxNewTokens);
        }
        if (!(temperature >= 0)) {
            problems.add("temperature must be 0 (likeliest token) or more, but is " + temperature);
        }
        if (topK < 0) {
            problems.add("topK must be 0 (no limit) or more, but is " + topK);
        }
        if (!(topP > 0 && topP <= 1)) {
            problems.add("topP must be above 0 and at most 1 (no limit), but is " + topP);
        }
        if (!(minP >= 0 && minP < 1)) {
            problems.add("minP must be at least 0 (no limit) and below 1, but is " + minP);
        }
        if (!(repetitionPenalty > 0)) {
            problems.add("repetitionPenalty must be above 0 (1 for none), but is " + repetitionPenalty);
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** The likeliest token each time, up to 512 tokens. */
    public static GenerationSettings greedy() {
        return new GenerationSettings(512, 0, 0, 1, 0, 1, 0);
    }

    /** Draws with temperature 0.7 from the tokens that make up 90 % of the probability, up to 512 tokens. */
    public static GenerationSettings sampling(long seed) {
        return new GenerationSettings(512, 0.7, 0, 0.9, 0, 1, seed);
    }

    /** A copy with another {@code maxNewTokens}. */
    public GenerationSettings withMaxNewTokens(int newMaxNewTokens) {
        return new GenerationSettings(newMaxNewTokens, temperature, topK, topP, minP, repetitionPenalty, seed);
    }

    /** A copy with another {@code temperature}. */
    public GenerationSettings withTemperature(double newTemperature) {
        return new GenerationSettings(maxNewTokens, newTemperature, topK, topP, minP, repetitionPenalty, seed);
    }

    /** A copy with another {@code topK}. */
    public GenerationSettings withTopK(int newTopK) {
        return new GenerationSettings(maxNewTokens, temperature, newTopK, topP, minP, repetitionPenalty, seed);
    }

    /** A copy with another {@code topP}. */
    public GenerationSettings withTopP(double newTopP) {
        return new GenerationSettings(maxNewTokens, temperature, topK, newTopP, minP, repetitionPenalty, seed);
    }

    /** A copy with another {@code minP}. */
    public GenerationSettings withMinP(double newMinP) {
        return new GenerationSettings(maxNewTokens, temperature, topK, topP, newMinP, repetitionPenalty, seed);
    }

    /** A copy with another {@code repetitionPenalty}. */
    public GenerationSettings withRepetitionPenalty(double newPenalty) {
        return new GenerationSettings(maxNewTokens, temperature, topK, topP, minP, newPenalty, seed);
    }

    /** A copy with another {@code seed}. */
    public GenerationSettings withSeed(long newSeed) {
        return new GenerationSettings(maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, newSeed);
    }
}
