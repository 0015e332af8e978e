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
 * @param low products with A of an adapter of the experts, float32, shape (R · k, widest of them, at least 1)
 * @param inner numbers of the chosen experts, shape (R · k, inner)
 * @param sharedInner of the expert of all tokens, shape (R, its inner width), of no size where there is none
 * @param sharedBoth its gate and up, where one projection makes them, shape (R, 2 · its inner width), else of no size
 * @param sharedGate its weight, shape (R, 1)
 */
public record ExpertBuffers(
        Tensor logits,
        ExpertGemv.Choice choice,
        Tensor low,
        Tensor inner,
        Tensor sharedInner,
        Tensor sharedBoth,
        Tensor sharedGate)
        implements AutoCloseable {
    /**
     * The memory for rows of these sizes.
     *
     * @param active experts of a row, k
     * @param rank numbers of a row and expert that products with A take; 0 for none
     * @param inner width of an expert
     * @param shared inner width of the expert of all tokens; 0 for none
     * @param joint outputs of one projection to its gate and up; 0 where each has its own
     */
    public static ExpertBuffers make(
            ComputeDevice device,
            ScalarType type,
            int rows,
            int experts,
            int active,
            int rank,
            long inner,
            long shared,
            long joint) {
        try (TensorScope scope = new TensorScope()) {
            ExpertBuffers buffers = new ExpertBuffers(
                    Tensors.empty(device, ScalarType.Float, rows, experts),
                    new ExpertGemv.Choice(
                            Tensors.zeros(device, ScalarType.Int, rows, active),
                            Tensors.empty(device, ScalarType.Float, rows, active)),
                    Tensors.empty(device, ScalarType.Float, (long) rows * active, Math.max(1, rank)),
                    Tensors.empty(device, type, (long) rows * active, inner),
                    Tensors.empty(device, type, rows, shared),
                    Tensors.empty(device, type, rows, joint),
                    Tensors.empty(device, type, rows, 1));
            buffers.all().forEach(scope::release);
            return buffers;
        }
    }

    private List<Tensor> all() {
        return List.of(logits, choice.chosen(), choice.shares(), low, inner, sharedInner, sharedBoth, sharedGate);
    }

    @Override
    public void close() {
        all().forEach(Tensor::close);
    }
}
