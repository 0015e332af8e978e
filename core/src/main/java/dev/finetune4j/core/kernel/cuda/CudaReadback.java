package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.cuda.CUDAEvent;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.global.torch_cuda;

/**
 * Numbers on their way from a GPU: they are copied when everything that the stream was asked before is done, and whoever
 * reads them waits for that and for nothing that was asked later. Confined to one thread.
 */
public final class CudaReadback implements AutoCloseable {
    private final Tensor host;
    private final CUDAEvent arrived;

    private CudaReadback(Tensor host, CUDAEvent arrived) {
        this.host = host;
        this.arrived = arrived;
    }

    /**
     * Asks for a copy of the values as they are at this point of their GPU's current stream.
     *
     * @param values of any type, on a GPU
     */
    public static CudaReadback of(Tensor values) {
        try (TensorScope scope = new TensorScope()) {
            Tensor wide = values.detach().to(ScalarType.Double).reshape(-1);
            Tensor host = Tensors.empty(ComputeDevice.cpu(), ScalarType.Double, wide.numel())
                    .pin_memory();
            host.copy_(wide, true);
            CUDAEvent event = new CUDAEvent();
            event.record(torch_cuda.getCurrentCUDAStream(
                    (byte) Tensors.deviceOf(values).index()));
            return new CudaReadback(scope.release(host), scope.release(event));
        }
    }

    /** Waits for the values. */
    public double[] get() {
        arrived.synchronize();
        double[] values = new double[Math.toIntExact(host.numel())];
        try (TensorScope scope = new TensorScope()) {
            host.data_ptr_double().get(values);
        }
        return values;
    }

    /** Frees the copy. Closing twice is fine. */
    @Override
    public void close() {
        host.close();
        arrived.close();
    }
}
