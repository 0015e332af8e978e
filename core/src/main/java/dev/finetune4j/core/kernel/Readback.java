package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.cuda.CudaReadback;
import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Numbers on their way from a device to the host. Confined to one thread. */
public interface Readback extends AutoCloseable {
    /** Waits for the numbers, for nothing that the device was asked later; to be called once. */
    double[] get();

    /** Frees what holds them. Closing twice is fine. */
    @Override
    void close();

    /** Numbers that the host has already. */
    static Readback known(Tensor values) {
        double[] numbers = new double[Math.toIntExact(values.numel())];
        try (TensorScope scope = new TensorScope()) {
            values.detach().to(ScalarType.Double).contiguous().data_ptr_double().get(numbers);
        }
        return new Readback() {
            @Override
            public double[] get() {
                return numbers;
            }

            @Override
            public void close() {
                // Nothing is held.
            }
        };
    }

    /** Numbers that a GPU copies when it has come so far. */
    static Readback later(CudaReadback copy) {
        return new Readback() {
            @Override
            public double[] get() {
                return copy.get();
            }

            @Override
            public void close() {
                copy.close();
            }
        };
    }
}
