package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;

/**
 * A root mean square norm, {@code x / sqrt(mean(x²) + ε) · w}. Borrows the weight.
 *
 * @param weight shape (D)
 * @param unitOffset whether the factor is one plus the weight
 */
public record NormSpec(Tensor weight, double epsilon, boolean unitOffset) {}
