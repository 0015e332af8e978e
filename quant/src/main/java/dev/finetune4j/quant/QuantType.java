package dev.finetune4j.quant;

import java.util.Optional;

/**
 * A set of sixteen numbers in [-1, 1] that a weight, divided by the largest magnitude of its block, is rounded to; those of
 * <a href="https://github.com/bitsandbytes-foundation/bitsandbytes">bitsandbytes</a>.
 */
public enum QuantType {
    /**
     * 4-bit NormalFloat: quantiles of the normal distribution
     * (<a href="https://arxiv.org/abs/2305.14314">Dettmers et al. 2023</a>, appendix E). Codes rise with the number.
     */
    NF4("nf4"),
    /**
     * 4-bit floating point: one sign bit (the code's highest), two of exponent and one of fraction, divided by 12.
     * There are two zeros, codes 0 and 8.
     */
    FP4("fp4");

    private final String label;

    QuantType(String label) {
        this.label = label;
    }

    /** The name in checkpoint files: {@code nf4} or {@code fp4}. */
    public String label() {
        return label;
    }

    /** The type with the given name in checkpoint files, if there is one. */
    public static Optional<QuantType> ofLabel(String label) {
        for (QuantType type : values()) {
            if (type.label.equals(label)) {
                return Optional.of(type);
            }
        }
        return Optional.empty();
    }
}
