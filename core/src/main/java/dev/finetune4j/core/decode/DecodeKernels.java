package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.Elementwise;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.nn.Attention;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The kernels of {@code decode.cu} for one type of number. */
final class DecodeKernels {
    private static final int THREADS = 512;
    private static final int ATTENTION_THREADS = 256;
    private static final int CHOOSE_THREADS = 1024;
    /** Of the same channel of the keys of a tile. */
    private static final int TILE_BYTES = 32;
    /** Behind each key and value, so that neighbours lie in different banks. */
    private static final int PADDING = 32;

    private final CudaKernel embed;
    private final CudaKernel norm;
    private final CudaKernel attend;
    private final CudaKernel argmax;

    DecodeKernels(ComputeDevice device, ScalarType type, Attention.Shape shape) {
        CudaModule module = CudaModule.of(Elementwise.class, "decode.cu", device);
        String suffix = type == ScalarType.Float ? "_f32" : "_bf16";
        embed = module.kernel("embed" + suffix);
        norm = module.kernel("norm" + suffix);
        attend = module.kernel("attend" + suffix, attentionBytes(shape.headDim(), type == ScalarType.Float ? 4 : 2));
        argmax = module.kernel("choose" + suffix);
    }

    /** Two tiles of keys and of values, the new key and value, and a turned query for each warp. */
    private static int attentionBytes(int size, int bytesOfNumber) {
        int rows = 4 * TILE_BYTES / bytesOfNumber + 2;
        return rows * (size * bytesOfNumber + PADDING) + ATTENTION_THREADS / 32 * size * Float.BYTES;
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
    void attention(
            DecodeBuffers buffers, DecodeWorkspace workspace, Tensor keys, Tensor values, Attention.Shape shape) {
        attend.launch(
                (long) buffers.rows() * shape.kvHeads() * workspace.splits(),
                ATTENTION_THREADS,
                buffers.step(),
                buffers.qkv(),
                keys,
                values,
                workspace.cos(),
                workspace.sin(),
                workspace.partial(),
                workspace.weights(),
                buffers.done(),
                buffers.mixed(),
                shape.heads(),
                shape.kvHeads(),
                shape.headDim(),
                Math.toIntExact(keys.size(2)),
                workspace.splits(),
                (float) shape.scale());
    }

    /** Makes the likeliest tokens the next ones and moves on by a position. */
    void argmax(DecodeBuffers buffers, DecodeWorkspace workspace) {
        argmax.launch(
                buffers.rows(),
                CHOOSE_THREADS,
                buffers.logits(),
                buffers.step(),
                workspace.chosen(),
                buffers.done(),
                width(buffers.logits()),
                buffers.rows(),
                Math.toIntExact(workspace.chosen().size(0)));
    }

    private static int width(Tensor matrix) {
        return Math.toIntExact(matrix.size(1));
    }
}
