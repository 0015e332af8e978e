package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.nn.RotaryEmbedding;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The memory of a step that depends on its capacity in positions. Owns its tensors.
 *
 * @param cos cosines by position, shape (capacity, head size)
 * @param sin sines by position, shape (capacity, head size)
 * @param splits into how many parts attention divides the sequence
 * @param partial sums of each part, float32, shape (R, heads, splits, head size)
 * @param weights largest score and sum of the weights of each part, float32, shape (R, heads, splits, 2)
 * @param chosen likeliest token after each position, int64, shape (capacity, R)
 */
record DecodeWorkspace(Tensor cos, Tensor sin, int splits, Tensor partial, Tensor weights, Tensor chosen)
        implements AutoCloseable {
    /** About two blocks for each multiprocessor of a large GPU; the kernel takes that many splits. */
    private static final int BLOCKS = 264;

    private static final int MIN_POSITIONS_OF_SPLIT = 16;

    static DecodeWorkspace make(int rows, ModelConfig config, ComputeDevice device, ScalarType type, long capacity) {
        int heads = config.attention().heads();
        int size = config.attention().headDim();
        long wanted = BLOCKS / ((long) rows * config.attention().kvHeads());
        int splits = (int) Math.max(1, Math.min(wanted, capacity / MIN_POSITIONS_OF_SPLIT));
        try (TensorScope scope = new TensorScope();
                RotaryEmbedding rotary =
                        new RotaryEmbedding(config.layerTypes().get(0).rope(), device)) {
            RotaryEmbedding.Angles angles = rotary.angles(0, capacity, type);
            DecodeWorkspace workspace = new DecodeWorkspace(
                    angles.cos().clone(),
                    angles.sin().clone(),
                    splits,
                    Tensors.empty(device, ScalarType.Float, rows, heads, splits, size),
                    Tensors.empty(device, ScalarType.Float, rows, heads, splits, 2),
                    Tensors.zeros(device, ScalarType.Long, capacity, rows));
            workspace.all().forEach(scope::release);
            return workspace;
        }
    }

    private List<Tensor> all() {
        return List.of(cos, sin, partial, weights, chosen);
    }

    @Override
    public void close() {
        all().forEach(Tensor::close);
    }
}
