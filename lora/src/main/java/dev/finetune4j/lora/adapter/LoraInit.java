package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.List;

/**
 * Initialization of the factors of a LoRA adapter, PEFT's {@code init_lora_weights}. All but {@link Gaussian} and {@link Kaiming}
 * look at the base's weights.
 */
public sealed interface LoraInit {
    /** A evenly from ±1/√in, as PEFT's Kaiming initialisation with a = √5 gives; B zero. The default. */
    record Kaiming() implements LoraInit {}

    /** A from a normal distribution of deviation 1/r; B zero. */
    record Gaussian() implements LoraInit {}

    /**
     * {@code s · B₀ A₀ = U S Vᵀ}: the r largest singular values of the weight with their directions, which leave the base its residual weight
     * {@code W - s · B₀ A₀} (<a href="https://arxiv.org/abs/2404.02948">PiSSA, Meng et al. 2024</a>).
     *
     * @param iterations power iterations of a fast approximate decomposition, 0 for an exact one; 16 is usual for large
     *     models
     */
    record Pissa(int iterations) implements LoraInit {
        public Pissa {
            if (iterations < 0) {
                throw new SettingsException(List.of("the iterations of PiSSA must be 0 (exact) or more, but are "
                        + iterations + "; 16 is usual for large models"));
            }
        }
    }

    /**
     * {@code W = Q R}, {@code B₀ = Q[:, :r]}, {@code A₀ = R[:r]}: the first columns of an orthonormal basis of the weight, which leave the base its residual weight
     * (<a href="https://arxiv.org/abs/2406.01775">OLoRA, Büyükakyüz 2024</a>).
     */
    record Olora() implements LoraInit {}

    /**
     * {@code s · B A ≈ W - dequantize(quantize(W))}, the best of rank r: a correction of what quantizing the base lost
     * (<a href="https://arxiv.org/abs/2310.08659">LoftQ, Li et al. 2023</a>, with one iteration: the 4-bit base stays as it
     * is, so the adapter is an ordinary one). It needs a 4-bit base and its checkpoint in full precision.
     */
    record Loftq() implements LoraInit {}

    /** The default. */
    static LoraInit kaiming() {
        return new Kaiming();
    }

    /** A from a normal distribution. */
    static LoraInit gaussian() {
        return new Gaussian();
    }

    /** The strongest singular directions, exactly. */
    static LoraInit pissa() {
        return new Pissa(0);
    }

    /** The first columns of an orthonormal basis. */
    static LoraInit olora() {
        return new Olora();
    }

    /** What quantizing lost. */
    static LoraInit loftq() {
        return new Loftq();
    }

    /** Whether the factors are made of the base's weights, so that the scale of their product must be above 0. */
    default boolean readsBase() {
        return usesResidualBase() || requiresQuantizedBase();
    }

    /** Whether the factors make up for what quantizing the base loses. */
    default boolean requiresQuantizedBase() {
        return this instanceof Loftq;
    }

    /** Whether the initial product is subtracted from the base's weight, so that training begins where the base was. */
    default boolean usesResidualBase() {
        return this instanceof Pissa || this instanceof Olora;
    }
}
