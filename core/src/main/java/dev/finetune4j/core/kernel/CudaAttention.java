package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Arrays;
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

    @Override
    public Mixed forward(Tensor qkv, @Nullable Bounds packed, boolean recorded) {
        long batch = qkv.size(0);
        long tokens = qkv.size(1);
        Tensor y = Tensors.empty(device, ScalarType.BFloat16, batch, tokens, (long) spec.heads() * spec.headDim());
        Tensor logs = Tensors.empty(device, ScalarType.Float, spec.heads(), batch * tokens);
        launch("attend_forward", 3 * tileBytes(room(spec)), spec.heads(), 4, qkv, packed, y, logs);
        return new Mixed(y, List.of(logs));
    }

    @Override
    public Gradients backward(Tensor qkv, @Nullable Bounds packed, Mixed mixed, Tensor gradient) {
        Tensor logs = mixed.kept().get(0);
        Tensor inner = Tensors.emptyLike(logs);
        Tensor gradients = Tensors.emptyLike(qkv);
        int tile = tileBytes(room(spec));
        int narrow = room(spec) == MAX_HEAD_SIZE ? tile / 2 : tile;
        int bytesOfQueries = 2 * tile + 2 * narrow;
        // inner gets the dot product of each output and its gradient.
        launch(
                "attend_backward_queries",
                bytesOfQueries,
                spec.heads(),
                4,
                qkv,
                packed,
                mixed.y(),
                gradient,
                logs,
                inner,
                gradients);
        launch(
                "attend_backward_keys",
                backwardKeysBytes(room(spec)),
                spec.kvHeads(),
                8,
                qkv,
                packed,
                gradient,
                logs,
                inner,
                gradients);
        return SequenceAttention.split(spec, gradients);
    }

    /**
     * Launches a kernel, a block for each tile and head.
     *
     * @param bytes shared memory of a block
     * @param warps of a block
     * @param others what the kernel takes between qkv and the shapes
     */
    private void launch(
            String kernel, int bytes, int heads, int warps, Tensor qkv, @Nullable Bounds packed, Tensor... others) {
        List<@Nullable Object> arguments = new ArrayList<>();
        arguments.add(qkv);
        arguments.addAll(Arrays.asList(others));
        arguments.add(packed == null ? null : packed.starts());
        arguments.add(sequences(qkv, packed));
        arguments.add(Math.toIntExact(qkv.size(1)));
        arguments.add(Math.toIntExact(qkv.size(0) * qkv.size(1)));
        arguments.add(spec.heads());
        arguments.add(spec.kvHeads());
        arguments.add(spec.headDim());
        arguments.add((float) spec.scale());
        arguments.add((float) spec.softCap());
        arguments.add(spec.window());
        module().kernel(kernel, bytes).launch(tiles(qkv, packed) * heads, warps * WARP, arguments.toArray());
    }
}
