package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The working memory of a step, whatever the length of the sequence. Owns its tensors.
 *
 * @param rows sequences, R
 * @param input what changes from step to step
 * @param state the residual stream, shape (R, D)
 * @param normed what goes into a half of a block, and what comes out of one that has a norm behind it, shape (R, D)
 * @param qkv queries, keys and values, shape (R, (heads + 2 · kv heads) · head size)
 * @param mixed what attention gives, shape (R, heads · head size)
 * @param both gate and up, where one projection makes them, shape (R, 2 · inner), else of no size
 * @param gated inner numbers of the feed-forward part, shape (R, inner)
 * @param low down projections of adapters, float32, shape (R, widest rank, at least 1)
 * @param logits shape (R, V)
 * @param done how many blocks that work together are through, int32, shape (R · heads); zeros between kernels
 * @param experts null where the model has none
 */
public record DecodeBuffers(
        int rows,
        DecodeInput input,
        Tensor state,
        Tensor normed,
        Tensor qkv,
        Tensor mixed,
        Tensor both,
        Tensor gated,
        Tensor low,
        Tensor logits,
        Tensor done,
        @Nullable ExpertBuffers experts)
        implements AutoCloseable {
    /** The memory of a step without experts. */
    public DecodeBuffers(
            int rows,
            DecodeInput input,
            Tensor state,
            Tensor normed,
            Tensor qkv,
            Tensor mixed,
            Tensor both,
            Tensor gated,
            Tensor low,
            Tensor logits,
            Tensor done) {
        this(rows, input, state, normed, qkv, mixed, both, gated, low, logits, done, null);
    }

    /** The same with memory for experts, which it owns from now on. */
    public DecodeBuffers with(ExpertBuffers memory) {
        return new DecodeBuffers(rows, input, state, normed, qkv, mixed, both, gated, low, logits, done, memory);
    }

    /**
     * The memory for rows of these sizes.
     *
     * @param layers of the decoder
     * @param hidden width of the residual stream, D
     * @param inner width of the feed-forward part
     * @param joint outputs of one projection to gate and up; 0 where each has its own
     * @param vocabulary rows of the vocabulary projection, V
     * @param rank the most numbers of a row that down projections take
     */
    public static DecodeBuffers make(
            ComputeDevice device,
            ScalarType type,
            int rows,
            AttentionSpec attention,
            int layers,
            long hidden,
            long inner,
            long joint,
            long vocabulary,
            int rank) {
        long queries = (long) attention.heads() * attention.headDim();
        long keys = (long) attention.kvHeads() * attention.headDim();
        try (TensorScope scope = new TensorScope()) {
            DecodeBuffers buffers = new DecodeBuffers(
                    rows,
                    new DecodeInput(device, rows, layers),
                    Tensors.empty(device, type, rows, hidden),
                    Tensors.empty(device, type, rows, hidden),
                    Tensors.empty(device, type, rows, queries + 2 * keys),
                    Tensors.empty(device, type, rows, queries),
                    Tensors.empty(device, type, rows, joint),
                    Tensors.empty(device, type, rows, inner),
                    Tensors.empty(device, ScalarType.Float, rows, Math.max(1, rank)),
                    Tensors.empty(device, type, rows, vocabulary),
                    Tensors.zeros(device, ScalarType.Int, (long) rows * attention.heads()));
            buffers.all().forEach(scope::release);
            return buffers;
        }
    }

    private List<Tensor> all() {
        return List.of(state, normed, qkv, mixed, both, gated, low, logits, done);
    }

    @Override
    public void close() {
        input.close();
        if (experts != null) {
            experts.close();
        }
        all().forEach(Tensor::close);
    }
}
