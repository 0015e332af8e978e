package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;

/**
 * What an adapter adds to the weights of a stack, {@code scale · B A x} with factors of each expert's own. Borrows the factors.
 *
 * @param a float32: the rows of A of each expert, {@code numbers} of the length of an input row, expert by expert from where this
 *     tensor begins, which may be the first of several that lie behind one another
 * @param b float32: begins with the first number of the first expert's B
 * @param numbers of a row and expert that A gives
 * @param rank how many of them B takes; those of an expert whose linears have factors of their own follow each other
 * @param strides where the other numbers of B lie
 * @param scale factor on the products
 */
public record ExpertAddition(Tensor a, Tensor b, int numbers, int rank, Strides strides, float scale) {
    /** A's rows are read 16 bytes at a time. */
    private static final int ALIGNED_NUMBERS = 4;

    /** How far apart numbers of B are: of experts, of an expert's linears, of outputs and of the rank. */
    public record Strides(long expert, long linear, long output, long number) {}

    /** Whether kernels can read A where it lies. */
    public boolean isAligned() {
        return a.storage_offset() % ALIGNED_NUMBERS == 0;
    }
}
