package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;

/**
 * How LoRA adapters are combined into a new one, as PEFT's {@code add_weighted_adapter} does: which {@code combination_type}, and its
 * numbers. Immutable.
 *
 * @param type PEFT's {@code combination_type}
 * @param density share of the numbers that pruning keeps, from 0 to 1; types that do not prune pass it over
 * @param majoritySign how TIES elects the sign of each number
 * @param svdRank rank of the new adapter for the types with a singular value decomposition; 0 for the largest of the adapters
 * @param seed of the numbers that DARE drops
 */
public record Combination(Type type, double density, MajoritySign majoritySign, int svdRank, long seed) {
    /** PEFT's {@code combination_type}. */
    public enum Type {
        /** Sums of the A and of the B, each with the root of the weight; ranks must be equal. */
        LINEAR(false, false, false),
        /** The adapters side by side: exactly the weighted sum of what they add, with the sum of their ranks. */
        CAT(false, false, false),
        /** The weighted sum of what they add, as the nearest one of a rank. */
        SVD(false, false, true),
        /**
         * The largest numbers of each, of which those count that have the elected sign
         * (<a href="https://arxiv.org/abs/2306.01708">TIES, Yadav et al. 2023</a>), for A and B apart.
         */
        TIES(true, true, false),
        /** TIES over what the adapters add, as the nearest one of a rank. */
        TIES_SVD(true, true, true),
        /** Sums after random numbers were dropped (<a href="https://arxiv.org/abs/2311.03099">DARE, Yu et al. 2023</a>). */
        DARE_LINEAR(true, false, false),
        /** The elected sign after random numbers were dropped. */
        DARE_TIES(true, true, false),
        /** DARE over what the adapters add, as the nearest one of a rank. */
        DARE_LINEAR_SVD(true, false, true),
        /** DARE and TIES over what the adapters add, as the nearest one of a rank. */
        DARE_TIES_SVD(true, true, true),
        /** Sums of the largest numbers of each. */
        MAGNITUDE_PRUNE(true, false, false),
        /** The same over what the adapters add, as the nearest one of a rank. */
        MAGNITUDE_PRUNE_SVD(true, false, true);

        private final boolean prunes;
        private final boolean electsSign;
        private final boolean decomposes;

        Type(boolean prunes, boolean electsSign, boolean decomposes) {
            this.prunes = prunes;
            this.electsSign = electsSign;
            this.decomposes = decomposes;
        }

        /** Whether numbers are dropped before adding. */
        public boolean prunes() {
            return prunes;
        }

        /** Whether numbers are dropped at random. */
        public boolean prunesAtRandom() {
            return name().startsWith("DARE");
        }

        /** Whether only numbers of the elected sign count. */
        public boolean electsSign() {
            return electsSign;
        }

        /** Whether the products are added and decomposed, instead of A and B apart. */
        public boolean decomposes() {
            return decomposes;
        }
    }

    /** How TIES elects the sign of each number; PEFT's {@code majority_sign_method}. */
    public enum MajoritySign {
        /** That of the sum. */
        TOTAL,
        /** That of most adapters. */
        FREQUENCY
    }

    public Combination {
        List<String> problems = new ArrayList<>();
        if (!(density >= 0 && density <= 1)) {
            problems.add("the density must be from 0 to 1, but is " + density);
        }
        if (svdRank < 0) {
            problems.add(
                    "the rank of a decomposition must be at least 1, or 0 for that of the adapters, but is " + svdRank);
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** A type with the usual numbers: half of the numbers kept, the sign of the sum. */
    public static Combination of(Type type) {
        return new Combination(type, 0.5, MajoritySign.TOTAL, 0, 0);
    }

    /** The same with another share of the numbers kept. */
    public Combination density(double share) {
        return new Combination(type, share, majoritySign, svdRank, seed);
    }

    /** The same with signs elected otherwise. */
    public Combination majoritySign(MajoritySign method) {
        return new Combination(type, density, method, svdRank, seed);
    }

    /** The same with another rank of the decomposition. */
    public Combination svdRank(int rank) {
        return new Combination(type, density, majoritySign, rank, seed);
    }

    /** The same with other numbers dropped at random. */
    public Combination seed(long newSeed) {
        return new Combination(type, density, majoritySign, svdRank, newSeed);
    }
}
