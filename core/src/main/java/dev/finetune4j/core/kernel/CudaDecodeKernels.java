package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.kernel.cuda.CudaPreload;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** On a CUDA GPU ({@code decode.cu}). Launches may be captured. */
public final class CudaDecodeKernels implements DecodeKernels {
    private static final int THREADS = 512;
    /** Each has up to 32 numbers of a row in registers. */
    private static final int NORM_THREADS = 512;

    /** Query heads that one block of attention takes. */
    private static final int HEADS_OF_BLOCK = 8;

    private static final int ATTENTION_THREADS = 256;
    private static final int APPEND_THREADS = 64;
    private static final int CHOOSE_THREADS = 1024;
    private static final int GATED_OF_THREAD = 8;
    /** Of the same channel of the keys of a tile. */
    private static final int TILE_BYTES = 32;
    /** Behind each key and value, so that neighbours lie in different banks. */
    private static final int PADDING = 32;

    /** About two blocks for each multiprocessor of a large GPU; attention takes that many splits. */
    private static final int BLOCKS = 264;

    /** As many more for steps of many rows, whose blocks have more than their own start to wait for. */
    private static final int BLOCKS_OF_MANY_ROWS = 4 * BLOCKS;

    private static final int MIN_POSITIONS_OF_SPLIT = 16;

    /** The same for attention by tensor cores, as tensorattend.cu has it. */
    private static final int TENSOR_MIN_POSITIONS_OF_SPLIT = 256;
    /** Positions from which on a sequence has several splits even if its rows keep the GPU busy; to so many splits. */
    private static final int TENSOR_MAX_POSITIONS_OF_SPLIT = 1024;

    private static final int TENSOR_MAX_SPLITS = 16;
    /** Warps of a block, if it has a multiprocessor to itself and if two share one. */
    private static final int WARPS_ALONE = 8;

    private static final int WARPS_SHARING = 4;
    /** Channels of a step of a product on tensor cores. */
    private static final int TENSOR_STEP = 16;

    private static final int WARP = 32;
    private static final int ROUTER_WARPS = 8;
    /** Of which a lane of a warp holds eight. */
    private static final int MAX_EXPERTS = 256;

    private static final int MAX_ACTIVE = WARP;

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

    /** Into how many parts the query heads of a key head are divided. */
    private static int parts(AttentionSpec shape) {
        return (shape.heads() / shape.kvHeads() + HEADS_OF_BLOCK - 1) / HEADS_OF_BLOCK;
    }

    @Override
    public DecodeWorkspace workspace(int rows, AttentionSpec attention, List<DecodeWorkspace.Angles> angles) {
        long capacity = angles.get(0).cos().size(0);
        int heads = attention.heads();
        int splits = splits(rows, attention, capacity);
        return new DecodeWorkspace(
                angles,
                splits,
                Tensors.empty(device, ScalarType.Float, rows, heads, splits, attention.headDim()),
                Tensors.empty(device, ScalarType.Float, rows, heads, splits, 2),
                // The GPU writes to the host's memory itself, so that nobody has to ask for a copy.
                Tensors.zeros(ComputeDevice.cpu(), ScalarType.Long, capacity, rows)
                        .pin_memory());
    }

    private int splits(int rows, AttentionSpec attention, long capacity) {
        long works = (long) rows * attention.kvHeads() * parts(attention);
        if (hasTensorCores(attention)) {
            long together = (long) BLOCKS * WARPS_SHARING / warps(rows, attention.headDim());
            long wanted =
                    Math.max(together / works, Math.min(TENSOR_MAX_SPLITS, capacity / TENSOR_MAX_POSITIONS_OF_SPLIT));
            return (int) Math.max(1, Math.min(wanted, capacity / TENSOR_MIN_POSITIONS_OF_SPLIT));
        }
        int blocks = rows > GemvKernel.MAX_ROWS ? BLOCKS_OF_MANY_ROWS : BLOCKS;
        return (int) Math.max(1, Math.min(blocks / works, capacity / MIN_POSITIONS_OF_SPLIT));
    }

    /** Whether tensor cores attend. */
    private boolean hasTensorCores(AttentionSpec attention) {
        return hasTensorCores(device, type, attention.headDim());
    }

    private static boolean hasTensorCores(ComputeDevice device, ScalarType type, int size) {
        return type.intern() == ScalarType.BFloat16
                && size % TENSOR_STEP == 0
                && tensorBytes(size, WARPS_SHARING) <= CudaModule.maxSharedBytes(device);
    }

    private int warps(int rows, int size) {
        boolean fits = tensorBytes(size, WARPS_ALONE) <= CudaModule.maxSharedBytes(device);
        return rows <= GemvKernel.MAX_ROWS && fits ? WARPS_ALONE : WARPS_SHARING;
    }

    /** The struct {@code Room} of tensorattend.cu. */
    private static int tensorBytes(int size, int warps) {
        int tiles = warps * 2 * 2 * 16;
        return (tiles + HEADS_OF_BLOCK + 2) * (2 * size + 16) + 2 * warps * HEADS_OF_BLOCK * Float.BYTES;
    }

    private static CudaModule tensorModule(ComputeDevice device, int size, int warps) {
        return CudaModule.of(
                CudaDecodeKernels.class,
                "tensorattend.cu",
                "#define SIZE " + size + "\n#define WARPS " + warps + "\n",
                device);
    }

    /** Compiles in a thread of its own what steps of few rows attend with. */
    static void prepare(ComputeDevice device, ScalarType type, int size) {
        if (hasTensorCores(device, type, size)) {
            int warps = new CudaDecodeKernels(device, type).warps(1, size);
            CudaPreload.once("attention of " + size + ' ' + device, List.of(() -> tensorModule(device, size, warps)));
        }
    }

    /** Two tiles of keys and of values, the new key and value, and a turned query for each warp. */
    private static int attentionBytes(int size, int bytesOfNumber) {
        int rows = 4 * TILE_BYTES / bytesOfNumber + 2;
        return rows * (size * bytesOfNumber + PADDING) + ATTENTION_THREADS / 32 * size * Float.BYTES;
    }

    @Override
    public void embed(DecodeBuffers buffers, Tensor table, float scale) {
        kernel("embed", 0)
                .launch(buffers.rows(), THREADS, buffers.input().step(), table, buffers.state(), width(table), scale);
    }

    @Override
    public void norm(DecodeBuffers buffers, @Nullable NormSpec after, @Nullable NormSpec norm) {
        List<@Nullable Object> arguments =
                new ArrayList<>(List.of(buffers.state(), buffers.normed(), width(buffers.state())));
        CudaNorm.add(arguments, after);
        CudaNorm.add(arguments, norm);
        kernel("norm", 0).launch(buffers.rows(), NORM_THREADS, arguments.toArray());
    }

    @Override
    public void attend(DecodeBuffers buffers, DecodeWorkspace workspace, int layer, DecodeAttention attention) {
        attend(buffers, workspace, layer, normalized(buffers, attention), false);
    }

    /** Norms of each head are a part of attention; others come before it. */
    private DecodeAttention normalized(DecodeBuffers buffers, DecodeAttention attention) {
        NormSpec query = attention.queryNorm();
        NormSpec key = attention.keyNorm();
        if (query == null || key == null || !attention.normalizesApart()) {
            return attention;
        }
        List<@Nullable Object> arguments = new ArrayList<>(List.of(
                buffers.qkv(),
                width(buffers.qkv()),
                Math.toIntExact(query.weight().numel()),
                Math.toIntExact(key.weight().numel()),
                Math.toIntExact(query.width()),
                Math.toIntExact(key.width())));
        CudaNorm.add(arguments, query);
        CudaNorm.add(arguments, key);
        long blocks = query.weight().numel() / query.width() + key.weight().numel() / key.width();
        kernel("norm_heads", 0).launch(blocks * buffers.rows(), NORM_THREADS, arguments.toArray());
        return attention.normalized();
    }

    @Override
    public void attendInOrder(DecodeBuffers buffers, DecodeWorkspace workspace, int layer, DecodeAttention all) {
        DecodeAttention attention = normalized(buffers, all);
        List<@Nullable Object> arguments = inputs(buffers, workspace, layer, attention);
        addShape(arguments, workspace, attention, true);
        long blocks = (long) buffers.rows() * attention.shape().kvHeads();
        kernel("append", 0).launch(blocks, APPEND_THREADS, arguments.toArray());
        attend(buffers, workspace, layer, attention, true);
    }

    /** @param appended whether the new keys and values are in the cache already */
    private void attend(
            DecodeBuffers buffers, DecodeWorkspace workspace, int layer, DecodeAttention attention, boolean appended) {
        AttentionSpec shape = attention.shape();
        List<@Nullable Object> arguments = inputs(buffers, workspace, layer, attention);
        arguments.addAll(List.of(workspace.partial(), workspace.weights(), buffers.done(), buffers.mixed()));
        addShape(arguments, workspace, attention, appended);
        long blocks = (long) buffers.rows() * shape.kvHeads() * parts(shape) * workspace.splits();
        if (hasTensorCores(shape)) {
            int warps = warps(buffers.rows(), shape.headDim());
            tensorModule(device, shape.headDim(), warps)
                    .kernel("attend_tensor", tensorBytes(shape.headDim(), warps))
                    .launch(blocks, WARP * warps, arguments.toArray());
            return;
        }
        int bytes = attentionBytes(shape.headDim(), type == ScalarType.Float ? 4 : 2);
        kernel("attend", bytes).launch(blocks, ATTENTION_THREADS, arguments.toArray());
    }

    private static List<@Nullable Object> inputs(
            DecodeBuffers buffers, DecodeWorkspace workspace, int layer, DecodeAttention attention) {
        DecodeWorkspace.Angles angles = workspace.angles().get(attention.angles());
        return new ArrayList<>(List.of(
                buffers.input().step(), buffers.input().memory(layer), buffers.qkv(), angles.cos(), angles.sin()));
    }

    /** The fields of the struct {@code Shape}. */
    private static void addShape(
            List<@Nullable Object> arguments, DecodeWorkspace workspace, DecodeAttention attention, boolean appended) {
        AttentionSpec shape = attention.shape();
        DecodeWorkspace.Angles angles = workspace.angles().get(attention.angles());
        arguments.addAll(List.of(
                shape.heads(),
                shape.kvHeads(),
                shape.headDim(),
                width(angles.cos()),
                angles.interleaved() ? 1 : 0,
                shape.window(),
                workspace.splits(),
                parts(shape),
                (float) shape.scale(),
                (float) shape.softCap(),
                appended ? 1 : 0));
        CudaNorm.add(arguments, attention.queryNorm());
        CudaNorm.add(arguments, attention.keyNorm());
    }

    @Override
    public Optional<String> unsupportedReason(NormSpec norm) {
        return norm.bias() == null
                ? DecodeKernels.super.unsupportedReason(norm)
                : Optional.of("a norm has a bias, which the kernels of the GPU do not add");
    }

    @Override
    public Optional<String> unsupportedReason(RouterSpec router) {
        if (router.experts() > MAX_EXPERTS || router.active() > MAX_ACTIVE) {
            return Optional.of("it chooses " + router.active() + " of " + router.experts() + " experts");
        }
        return DecodeKernels.super.unsupportedReason(router);
    }

    @Override
    public boolean choosesOnHost() {
        return false;
    }

    @Override
    public void choose(DecodeBuffers buffers, RouterSpec router, ExpertBuffers experts) {
        int pairs = buffers.rows() * router.experts();
        CudaModule module = CudaModule.of(CudaDecodeKernels.class, "experts.cu", device);
        String suffix = type == ScalarType.Float ? "_f32" : "_bf16";
        module.kernel("router" + suffix)
                .launch(
                        (pairs + ROUTER_WARPS - 1) / ROUTER_WARPS,
                        ROUTER_WARPS * WARP,
                        buffers.normed(),
                        router.weight(),
                        experts.logits(),
                        width(router.weight()),
                        buffers.rows(),
                        router.experts());
        module.kernel("router_choice" + suffix)
                .launch(
                        buffers.rows(),
                        WARP,
                        experts.logits(),
                        experts.choice().chosen(),
                        experts.choice().shares(),
                        router.experts(),
                        router.active(),
                        router.normalised() ? 1 : 0);
    }

    @Override
    public void gate(Tensor both, Activation activation, Tensor y) {
        long threads = (y.numel() + GATED_OF_THREAD - 1) / GATED_OF_THREAD;
        kernel("gate", 0)
                .launch(
                        (threads + THREADS - 1) / THREADS,
                        THREADS,
                        both,
                        y,
                        y.numel(),
                        width(y),
                        activation.kernelCode());
    }

    @Override
    public void softCap(DecodeBuffers buffers, double cap) {
        Tensor logits = buffers.logits();
        kernel("soft_cap", 0)
                .launch((logits.numel() + THREADS - 1) / THREADS, THREADS, logits, logits.numel(), (float) cap);
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
