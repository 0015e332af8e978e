package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** On a CUDA GPU by a kernel of our own ({@code attention.cuh}), in bfloat16; it is there for soft-capped scores, which libtorch's kernels do not have. */
final class CudaAttention implements SequenceAttention {
    /** Queries or keys of a block. */
    private static final int TOKENS = 64;

    private static final int WARP = 32;
    private static final int MAX_HEAD_SIZE = 256;
    private static final int HEAD_MULTIPLE = 8;
    private static final int BYTES = 2;

    private final ComputeDevice device;
    private final AttentionSpec spec;

    CudaAttention(ComputeDevice device, AttentionSpec spec) {
        this.device = device;
        this.spec = spec;
    }

    /** Whether there are kernels for an attention on a GPU. */
    static boolean supports(ComputeDevice device, AttentionSpec spec) {
        return spec.headDim() % HEAD_MULTIPLE == 0
                && spec.headDim() <= MAX_HEAD_SIZE
                && CudaModule.maxSharedBytes(device) >= backwardKeysBytes(room(spec));
    }

    /** Channels that a tile has room for. */
    private static int room(AttentionSpec spec) {
        int room = TOKENS;
        while (room < spec.headDim()) {
            room *= 2;
        }
        return room;
    }

    private static int tileBytes(int room) {
        return TOKENS * room * BYTES;
    }

    private static int backwardKeysBytes(int room) {
        return 6 * tileBytes(room) + 2 * TOKENS * TOKENS * BYTES + 4 * TOKENS * Float.BYTES;
    }

    private CudaModule module() {
        return CudaModule.of(CudaAttention.class, "attention" + room(spec) + ".cu", device);
    }

    @Override
    public boolean readsStarts() {
        return true;
    }

    @Override
    public boolean readsSharedKeys() {
        return false;
    }

    /** How many tiles the rows have at most. */
    private static long tiles(Tensor qkv, @Nullable Bounds packed) {
        return packed == null
                ? qkv.size(0) * ((qkv.size(1) + TOKENS - 1) / TOKENS)
                : qkv.size(1) / TOKENS + sequences(qkv, packed);
    }

    private static int sequences(Tensor qkv, @Nullable Bounds packed) {
        return Math.toIntExact(packed == null ? qkv.size(0) : packed.starts().size(0) - 1);
    }

    private static @Nullable Tensor starts(@Nullable Bounds packed) {
        return packed == null ? null : packed.starts();
    }

    @Override
    public Mixed forward(Tensor qkv, @Nullable Bounds packed, boolean recorded) {
        long batch = qkv.size(0);
        long tokens = qkv.size(1);
        Tensor y = Tensors.empty(device, ScalarType.BFloat16, batch, tokens, (long) spec.heads() * spec.headDim());
        Tensor logs = Tensors.empty(device, ScalarType.Float, spec.heads(), batch * tokens);
        module().kernel("attend_forward", 3 * tileBytes(room(spec)))
                .launch(
                        tiles(qkv, packed) * spec.heads(),
                        4 * WARP,
                        qkv,
                        y,
                        logs,
                        starts(packed),
                        sequences(qkv, packed),
                        (int) tokens,
                        Math.toIntExact(batch * tokens),
                        spec.heads(),
                        spec.kvHeads(),
                        spec.headDim(),
                        (float) spec.scale(),
                        (float) spec.softCap(),
                        spec.window());
        return new Mixed(y, List.of(logs));
    }

    @Override
    public Gradients backward(Tensor qkv, @Nullable Bounds packed, Mixed mixed, Tensor gradient) {
        Tensor logs = mixed.kept().get(0);
        Tensor inner = Tensors.emptyLike(logs);
        Tensor gradients = Tensors.emptyLike(qkv);
        backwardOfQueries(qkv, packed, mixed.y(), gradient, logs, inner, gradients);
        backwardOfKeys(qkv, packed, gradient, logs, inner, gradients);
        return SequenceAttention.split(spec, gradients);
    }

    /** @param inner gets the dot product of each output and its gradient */
    private void backwardOfQueries(
            Tensor qkv,
            @Nullable Bounds packed,
            Tensor y,
            Tensor gradient,
            Tensor logs,
            Tensor inner,
            Tensor gradients) {
        int tile = tileBytes(room(spec));
        int narrow = room(spec) == MAX_HEAD_SIZE ? tile / 2 : tile;
        module().kernel("attend_backward_queries", 2 * tile + 2 * narrow)
                .launch(
                        tiles(qkv, packed) * spec.heads(),
                        4 * WARP,
                        qkv,
                        y,
                        gradient,
                        logs,
                        inner,
                        gradients,
                        starts(packed),
                        sequences(qkv, packed),
                        Math.toIntExact(qkv.size(1)),
                        Math.toIntExact(qkv.size(0) * qkv.size(1)),
                        spec.heads(),
                        spec.kvHeads(),
                        spec.headDim(),
                        (float) spec.scale(),
                        (float) spec.softCap(),
                        spec.window());
    }

    private void backwardOfKeys(
            Tensor qkv, @Nullable Bounds packed, Tensor gradient, Tensor logs, Tensor inner, Tensor gradients) {
        module().kernel("attend_backward_keys", backwardKeysBytes(room(spec)))
                .launch(
                        tiles(qkv, packed) * spec.kvHeads(),
                        8 * WARP,
                        qkv,
                        gradient,
                        logs,
                        inner,
                        gradients,
                        starts(packed),
                        sequences(qkv, packed),
                        Math.toIntExact(qkv.size(1)),
                        Math.toIntExact(qkv.size(0) * qkv.size(1)),
                        spec.heads(),
                        spec.kvHeads(),
                        spec.headDim(),
                        (float) spec.scale(),
                        (float) spec.softCap(),
                        spec.window());
    }
}
