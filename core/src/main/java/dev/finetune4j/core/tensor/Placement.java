package dev.finetune4j.core.tensor;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;

/**
 * Where tensors live and in which number formats they are stored and computed with. Immutable.
 *
 * @param device the processor that holds them
 * @param precision the number format of activations
 * @param weights the number format in which unquantized weights are stored; they are cast to {@code precision} as they are
 *     used. Wider than {@code precision} only for weights that are trained themselves
 * @param threads how many threads an operation on the CPU may use; 0 for as many as hold for whoever calls
 */
public record Placement(ComputeDevice device, Precision precision, Precision weights, int threads) {
    /** Uses as many threads as hold for whoever calls. */
    public Placement(ComputeDevice device, Precision precision, Precision weights) {
        this(device, precision, weights, 0);
    }

    /** Stores and computes in the same format. */
    public Placement(ComputeDevice device, Precision precision) {
        this(device, precision, precision);
    }

    /** The same with a number of threads of its own; 0 for as many as hold for whoever calls. */
    public Placement withThreads(int number) {
        return new Placement(device, precision, weights, number);
    }

    /** The CPU in 32-bit floating point. */
    public static Placement cpuFp32() {
        return new Placement(ComputeDevice.cpu(), Precision.FP32);
    }
}
