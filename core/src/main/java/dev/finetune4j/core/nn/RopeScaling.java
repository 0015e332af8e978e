package dev.finetune4j.core.nn;

import java.util.List;

/**
 * How rotary frequencies are changed so that a model reaches further than the positions it was first trained on. Names and
 * numbers follow {@code rope_type} of Hugging Face's config.json.
 */
public sealed interface RopeScaling {
    /** Frequencies as they are. */
    record None() implements RopeScaling {}

    /** No rotation at all: a layer that finds positions by the causal rule alone (<a href="https://arxiv.org/abs/2305.19466">NoPE, Kazemnejad et al. 2023</a>). */
    record Unrotated() implements RopeScaling {}

    /**
     * All frequencies divided by a factor (<a href="https://arxiv.org/abs/2306.15595">Chen et al. 2023</a>).
     *
     * @param factor above 0
     */
    record Linear(double factor) implements RopeScaling {}

    /**
     * A base that grows with the length of the sequence beyond the model's own (NTK-aware scaling).
     *
     * @param factor strength of the growth
     * @param maxPositions length up to which nothing changes
     */
    record Dynamic(double factor, int maxPositions) implements RopeScaling {}

    /**
     * YaRN: slow frequencies divided by a factor, fast ones left alone, a ramp in between
     * (<a href="https://arxiv.org/abs/2309.00071">Peng et al. 2023</a>).
     *
     * @param factor on the slow frequencies
     * @param originalPositions positions of the first training
     * @param betaFast turns within the original positions above which a frequency stays
     * @param betaSlow turns below which it is divided in full
     * @param attentionFactor factor on cosines and sines
     * @param truncate whether the ends of the ramp are rounded to whole channels
     */
    record Yarn(
            double factor,
            int originalPositions,
            double betaFast,
            double betaSlow,
            double attentionFactor,
            boolean truncate)
            implements RopeScaling {}

    /**
     * Llama 3.1's: like YaRN with the ramp over wavelengths.
     *
     * @param factor on the slow frequencies
     * @param lowFactor original positions over this: wavelengths above are divided in full
     * @param highFactor original positions over this: wavelengths below stay
     * @param originalPositions positions of the first training
     */
    record Llama3(double factor, double lowFactor, double highFactor, int originalPositions) implements RopeScaling {}

    /**
     * LongRoPE: each frequency divided by a factor of its own, from one list or another by the length of the sequence
     * (<a href="https://arxiv.org/abs/2402.13753">Ding et al. 2024</a>).
     *
     * @param shortFactors used up to the original positions
     * @param longFactors used beyond
     * @param originalPositions positions of the first training
     * @param attentionFactor factor on cosines and sines
     */
    record LongRope(List<Double> shortFactors, List<Double> longFactors, int originalPositions, double attentionFactor)
            implements RopeScaling {
        public LongRope {
            shortFactors = List.copyOf(shortFactors);
            longFactors = List.copyOf(longFactors);
        }
    }
}
