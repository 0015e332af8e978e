package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Dense copies of 4-bit weights on a GPU, with the same numbers, beside their codes: as long as they are there nothing is
 * dequantized for a matmul. They lie behind one another in one buffer, so that those of one input are one matrix. The weights
 * must outlive them. Confined to one thread, but the weights may be read by others.
 */
public final class DequantizedCopies implements AutoCloseable {
    private final List<QuantizedTensor> weights;
    private final List<Tensor> copies = new ArrayList<>();
    private final Tensor buffer;

    private DequantizedCopies(List<QuantizedTensor> weights, ComputeDevice device, ScalarType type) {
        this.weights = weights;
        try (TensorScope scope = new TensorScope()) {
            long size = weights.stream().mapToLong(QuantizedTensor::elements).sum();
            buffer = scope.release(Tensors.empty(device, type, size));
        }
        boolean done = false;
        try {
            fill();
            done = true;
        } finally {
            if (!done) {
                close();
            }
        }
    }

    private void fill() {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            long start = 0;
            for (QuantizedTensor weight : weights) {
                Tensor copy =
                        scope.release(buffer.narrow(0, start, weight.elements()).view(weight.shape()));
                copies.add(copy);
                weight.dequantizeInto(copy);
                weight.lend(copy);
                start += weight.elements();
            }
        }
    }

    /**
     * Copies of the first weights that there is room for.
     *
     * @param linears of one model, in the order in which they are used; those with other weights are passed over
     * @param placement of the model
     * @param bytes at most so many
     */
    public static DequantizedCopies of(Collection<Linear> linears, Placement placement, long bytes) {
        List<QuantizedTensor> chosen = new ArrayList<>();
        long left = bytes;
        for (Linear linear : linears) {
            // Those of a stack are made dense together.
            if (linear instanceof QuantizedLinear quantized
                    && quantized.weight().stack() == null) {
                left -= quantized.weight().elements() * placement.precision().bytes();
                if (left < 0) {
                    break;
                }
                chosen.add(quantized.weight());
            }
        }
        return new DequantizedCopies(chosen, placement.device(), Tensors.typeOf(placement.precision()));
    }

    /** Bytes of all copies. */
    public long bytes() {
        return buffer.nbytes();
    }

    /** Takes the copies back and frees them. Closing twice is fine. */
    @Override
    public void close() {
        weights.forEach(weight -> weight.lend(null));
        copies.forEach(Tensor::close);
        copies.clear();
        buffer.close();
    }
}
