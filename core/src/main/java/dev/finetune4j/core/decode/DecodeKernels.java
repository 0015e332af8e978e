package dev.finetune4j.core.decode;

import dev.finetune4j.core.cuda.CudaKernel;
import dev.finetune4j.core.cuda.CudaModule;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.tensor.ComputeDevice;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The kernels of {@code decode.cu} for one type of number. */
final class DecodeKernels {
    private static final int THREADS = 512;
    private static final int ATTENTION_THREADS = 128;
    private static final int CHOOSE_THREADS = 1024;

    private final CudaKernel embed;
    private final CudaKernel norm;
    private final CudaKernel ropeAppend;
    private final CudaKernel attend;
    private final CudaKernel combine;
    private final CudaKernel choose;
    private final CudaKernel advance;

    DecodeKernels(ComputeDevice device, ScalarType type) {
        CudaModule module = CudaModule.of(DecodeKernels.class, "decode.cu", device);
        String suffix = type == ScalarType.Float ? "_f32" : "_bf16";
        embed = module.kernel("embed" + suffix);
        norm = module.kernel("norm" + suffix);
        ropeAppend = module.kernel("rope_append" + suffix);
        attend = module.kernel("attend" + suffix);
        combine = module.kernel("combine" + suffix);
        choose = module.kernel("choose" + suffix);
        advance = module.kernel("advance");
    }

    void embed(DecodeBuffers buffers, Tensor table) {
        embed.launch(buffers.rows(), THREADS, buffers.step(), table, buffers.state(), width(table));
    }

    /** The residual stream, normalised. */
    void norm(DecodeBuffers buffers, Tensor weight, double epsilon) {
        int width = Math.toIntExact(weight.numel());
        norm.launch(buffers.rows(), THREADS, buffers.state(), weight, buffers.normed(), width, (float) epsilon);
    }

    /** Attention of the new position, whose keys and values go to the cache. */
    void attention(DecodeBuffers buffers, DecodeRoom room, Tensor keys, Tensor values, Attention.Shape shape) {
        int size = shape.headDim();
        int heads = shape.heads();
        int kvHeads = shape.kvHeads();
        int rows = buffers.rows();
        int capacity = Math.toIntExact(keys.size(2));
        int pairThreads = (size / 2 + 31) / 32 * 32;
        ropeAppend.launch(
                (long) rows * (heads + 2L * kvHeads),
                pairThreads,
                buffers.step(),
                buffers.qkv(),
                keys,
                values,
                room.cos(),
                room.sin(),
                heads,
                kvHeads,
                size,
                capacity);
        attend.launch(
                (long) rows * kvHeads * room.splits(),
                ATTENTION_THREADS,
                buffers.step(),
                buffers.qkv(),
                keys,
                values,
                room.partial(),
                room.weights(),
                heads,
                kvHeads,
                size,
                capacity,
                room.splits(),
                (float) shape.scale());
        combine.launch(
                (long) rows * heads,
                ATTENTION_THREADS,
                room.partial(),
                room.weights(),
                buffers.mixed(),
                size,
                room.splits());
    }

    /** Makes the likeliest tokens the next ones and moves on by a position. */
    void choose(DecodeBuffers buffers, DecodeRoom room) {
        choose.launch(
                buffers.rows(),
                CHOOSE_THREADS,
                buffers.logits(),
                buffers.step(),
                room.chosen(),
                width(buffers.logits()),
                buffers.rows(),
                Math.toIntExact(room.chosen().size(0)));
        advance.launch(1, 1, buffers.step());
    }

    private static int width(Tensor matrix) {
        return Math.toIntExact(matrix.size(1));
    }
}
