package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** On a CUDA GPU ({@code decode.cu}). Launches may be captured. */
public final class CudaDecodeKernels implements DecodeKernels {
    private static final int THREADS = 512;
    private static final int ATTENTION_THREADS = 256;
    private static final int CHOOSE_THREADS = 1024;
    /** Of the same channel of the keys of a tile. */
    private static final int TILE_BYTES = 32;
    /** Behind each key and value, so that neighbours lie in different banks. */
    private static final int PADDING = 32;

    /** About two blocks for each multiprocessor of a large GPU; attention takes that many splits. */
    private static final int BLOCKS = 264;

    private static final int MIN_POSITIONS_OF_SPLIT = 16;

    private final ComputeDevice device;
    private final ScalarType type;

    CudaDecodeKernels(ComputeDevice device, ScalarType type) {
        this.device = device;
        this.type = type;
    }

    /** Compiled when it is first asked for, so that asking what is supported compiles nothing. */
    private CudaKernel kernel(String name, int sharedBytes) {
        return CudaModule.of(CudaDecodeKernels.class, "decode.cu", device)
                .kernel(name + (type == ScalarType.Float ? "_f32" : "_bf16"), sharedBytes);
    }

    @Override
    public ScalarType type() {
        return type;
    }

    @Override
    public DecodeWorkspace workspace(int rows, AttentionSpec attention, Tensor cos, Tensor sin) {
        long capacity = cos.size(0);
        int heads = attention.heads();
        long wanted = BLOCKS / ((long) rows * attention.kvHeads());
        int splits = (int) Math.max(1, Math.min(wanted, capacity / MIN_POSITIONS_OF_SPLIT));
        return new DecodeWorkspace(
                cos,
                sin,
                splits,
                Tensors.empty(device, ScalarType.Float, rows, heads, splits, attention.headDim()),
                Tensors.empty(device, ScalarType.Float, rows, heads, splits, 2),
                Tensors.zeros(device, ScalarType.Long, capacity, rows));
    }

    /** Two tiles of keys and of values, the new key and value, and a turned query for each warp. */
    private static int attentionBytes(int size, int bytesOfNumber) {
        int rows = 4 * TILE_BYTES / bytesOfNumber + 2;
        return rows * (size * bytesOfNumber + PADDING) + ATTENTION_THREADS / 32 * size * Float.BYTES;
    }

    @Override
    public void embed(DecodeBuffers buffers, Tensor table) {
        kernel("embed", 0)
                .launch(buffers.rows(), THREADS, buffers.input().step(), table, buffers.state(), width(table));
    }

    @Override
    public void norm(DecodeBuffers buffers, NormSpec spec) {
        Tensor weight = spec.weight();
        int width = Math.toIntExact(weight.numel());
        kernel("norm", 0).launch(buffers.rows(), THREADS, buffers.state(), weight, buffers.normed(), width, (float)
                spec.epsilon());
    }

    @Override
    public void attend(DecodeBuffers buffers, DecodeWorkspace workspace, int layer, AttentionSpec shape) {
        int bytes = attentionBytes(shape.headDim(), type == ScalarType.Float ? 4 : 2);
        kernel("attend", bytes)
                .launch(
                        (long) buffers.rows() * shape.kvHeads() * workspace.splits(),
                        ATTENTION_THREADS,
                        buffers.input().step(),
                        buffers.input().memory(layer),
                        buffers.qkv(),
                        workspace.cos(),
                        workspace.sin(),
                        workspace.partial(),
                        workspace.weights(),
                        buffers.done(),
                        buffers.mixed(),
                        shape.heads(),
                        shape.kvHeads(),
                        shape.headDim(),
                        workspace.splits(),
                        (float) shape.scale());
    }

    /** Makes the likeliest tokens the next ones and moves each row on by a position. */
    public void argmax(DecodeBuffers buffers, DecodeWorkspace workspace) {
        kernel("choose", 0)
                .launch(
                        buffers.rows(),
                        CHOOSE_THREADS,
                        buffers.logits(),
                        buffers.input().step(),
                        workspace.chosen(),
                        width(buffers.logits()),
                        buffers.rows(),
                        Math.toIntExact(workspace.chosen().size(0)));
    }

    private static int width(Tensor matrix) {
        return Math.toIntExact(matrix.size(1));
    }
}
