package dev.finetune4j.core.tensor;

/**
 * Where tensors live and in which number formats they are stored and computed with. Immutable.
 *
 * @param device the processor that holds them
 * @param precision the number format of activations
 * @param weights the number format in which unquantized weights are stored; they are cast to {@code precision} as they are
 *     used. Wider than {@code precision} only for weights that are trained themselves
 */
public record Placement(ComputeDevice device, Precision precision, Precision weights) {
    /** Stores and computes in the same format. */
    public Placement(ComputeDevice device, Precision precision) {
        this(device, precision, precision);
    }

    /** The CPU in 32-bit floating point. */
    public static Placement cpuFp32() {
        return new Placement(ComputeDevice.cpu(), Precision.FP32);
    }
}
