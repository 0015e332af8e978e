package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The working memory of a step with experts. Owns its tensors.
 *
 * @param logits of the router, float32, shape (R, experts)
 * @param choice of the rows
 * @param inner numbers of the chosen experts, shape (R · k, inner)
 * @param sharedInner of the expert of all tokens, shape (R, its inner width), of no size where there is none
 * @param sharedGate its weight, shape (R, 1)
 */
public record ExpertBuffers(
        Tensor logits, ExpertGemv.Choice choice, Tensor inner, Tensor sharedInner, Tensor sharedGate)
        implements AutoCloseable {
    /**
     * The memory for rows of these sizes.
     *
     * @param active experts of a row, k
     * @param inner width of an expert
     * @param shared inner width of the expert of all tokens; 0 for none
     */
    public static ExpertBuffers make(
            ComputeDevice device, ScalarType type, int rows, int experts, int active, long inner, long shared) {
        try (TensorScope scope = new TensorScope()) {
            ExpertBuffers buffers = new ExpertBuffers(
                    Tensors.empty(device, ScalarType.Float, rows, experts),
                    new ExpertGemv.Choice(
                            Tensors.zeros(device, ScalarType.Int, rows, active),
                            Tensors.empty(device, ScalarType.Float, rows, active)),
                    Tensors.empty(device, type, (long) rows * active, inner),
                    Tensors.empty(device, type, rows, shared),
                    Tensors.empty(device, type, rows, 1));
            buffers.all().forEach(scope::release);
            return buffers;
        }
    }

    private List<Tensor> all() {
        return List.of(logits, choice.chosen(), choice.shares(), inner, sharedInner, sharedGate);
    }

    @Override
    public void close() {
        all().forEach(Tensor::close);
    }
}
