package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.CudaLowRank;
import dev.finetune4j.core.kernel.GemvArguments;
import dev.finetune4j.core.kernel.GemvKernel;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.kernel.NormSpec;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * GEMV of 4-bit weights ({@code pipelinedgemv.cu} and {@code gemv.cu}), which are read once and never made dense.
 *
 * @param kernels where the weights are
 * @param settings of all weights of a launch
 * @param type of input and output: float32 or bfloat16
 * @param way how the weights' width and blocks let them be multiplied
 */
record QuantGemvKernel(CudaQuantKernels kernels, QuantSettings settings, ScalarType type, Way way)
        implements GemvKernel<QuantizedTensor> {
    /** What multiplies. */
    enum Way {
        /** Tensor cores, on weights that pass through shared memory. */
        PIPELINED,
        /** Tensor cores, on weights that a lane reads for itself. */
        TENSOR_CORES,
        /** Sums one by one in float. */
        SCALAR
    }

    /** What the names of the kernels begin with that do not take two matrices together. */
    private static final String ROWS = "rows_";

    private static final int THREADS = 256;
    private static final int WARPS = THREADS / 32;
    private static final int OWN_ARGUMENTS = 5;
    /** The fewest weights that a lane reads at a time; they must lie in one block. */
    private static final int LANE_WIDTH = 8;

    private static final int MIN_TENSOR_BLOCK = 64;
    private static final int TENSOR_OUTPUTS = 16;
    private static final int TILE = 4;
    /** Blocks that a multiprocessor holds at a time: of the kernels that read far ahead, and of the others. */
    private static final int FEW_BLOCKS = 2;

    private static final int MANY_BLOCKS = 3;
    /** Rows of x that one product of tensor cores takes, and how many products a piece of the weights takes part in. */
    private static final int PIPELINED_ROWS = 8;

    private static final int PIPELINED_TILES = 2;

    private static final int PIPELINED_STEP = 256;
    /** Steps of a warp that are on their way. */
    private static final int PIPELINED_SLOTS = 2;

    private static final int PIPELINED_BLOCK = 64;
    private static final int PIPELINED_BYTES = 82944;
    /** The same and a second table with its scales. */
    private static final int DEEP_BYTES = PIPELINED_BYTES + 67584;

    /** Tiles that a block multiplies side by side. */
    private static final int MAX_HELD = 3;

    /** Weights are counted in 32 bits there. */
    private static final long MAX_PIPELINED_WEIGHTS = 1L << 32;

    /** A weight as this kernel takes it; null where the kernel does not support it. */
    static @Nullable GemvWeight<QuantizedTensor> weight(
            CudaQuantKernels kernels, QuantizedTensor weight, @Nullable Tensor bias, ScalarType type) {
        long in = weight.shape()[1];
        boolean supported = (type == ScalarType.BFloat16 || type == ScalarType.Float)
                && (bias == null || Tensors.typeOf(bias) == type)
                && in % LANE_WIDTH == 0
                && weight.settings().blockSize() >= LANE_WIDTH
                && weight.packed().storage_offset() == 0;
        if (!supported) {
            return null;
        }
        QuantGemvKernel kernel = new QuantGemvKernel(kernels, weight.settings(), type, way(weight, type));
        return new GemvWeight<>(kernel, Math.toIntExact(in), Math.toIntExact(weight.shape()[0]), weight, bias, null);
    }

    private static Way way(QuantizedTensor weight, ScalarType type) {
        int block = weight.settings().blockSize();
        long in = weight.shape()[1];
        if (type != ScalarType.BFloat16 || in % MIN_TENSOR_BLOCK != 0 || block < MIN_TENSOR_BLOCK) {
            return Way.SCALAR;
        }
        boolean ring = in % PIPELINED_STEP == 0
                && block == PIPELINED_BLOCK
                && weight.settings().doubleQuantization()
                && weight.shape()[0] * in < MAX_PIPELINED_WEIGHTS;
        return ring ? Way.PIPELINED : Way.TENSOR_CORES;
    }

    @Override
    public int maxRows() {
        return way == Way.PIPELINED ? PIPELINED_ROWS * PIPELINED_TILES : MAX_ROWS;
    }

    @Override
    public void launch(
            Tensor x,
            int rows,
            List<GemvWeight<QuantizedTensor>> weights,
            @Nullable Tensor low,
            Tensor y,
            boolean add) {
        int outputs = outputs(weights);
        long blocks = way == Way.SCALAR ? blocks(outputs, WARPS) : tiles(weights);
        launch(ROWS, blocks, outputs, add ? 1 : 0, arguments(x, rows, low, y), rows, null, weights);
    }

    private static int outputs(List<GemvWeight<QuantizedTensor>> weights) {
        return weights.stream().mapToInt(GemvWeight::out).sum();
    }

    private static long tiles(List<GemvWeight<QuantizedTensor>> weights) {
        return weights.stream()
                .mapToLong(weight -> blocks(weight.out(), TENSOR_OUTPUTS))
                .sum();
    }

    @Override
    public void launchGated(
            Tensor x,
            int rows,
            Activation activation,
            GemvWeight<QuantizedTensor> gate,
            GemvWeight<QuantizedTensor> up,
            @Nullable Tensor low,
            Tensor y) {
        long blocks = blocks(gate.out(), way == Way.SCALAR ? WARPS : TENSOR_OUTPUTS / 2);
        launch(
                "gated_",
                blocks,
                gate.out(),
                activation.kernelCode(),
                arguments(x, rows, low, y),
                rows,
                null,
                List.of(gate, up));
    }

    @Override
    public boolean takesNorm(int rows, int in, NormSpec norm) {
        return way == Way.PIPELINED
                && rows == 1
                && !norm.centered()
                && norm.weight().dim() == 1
                && norm.width() == in
                && keepsItsBlocks(in);
    }

    /** Whether room for the norm of a row leaves a multiprocessor as many blocks. */
    private boolean keepsItsBlocks(int in) {
        CudaModule module = module();
        String name = "rows_ring_1_1";
        return PIPELINED_BYTES + rowBytes(in) <= CudaModule.maxSharedBytes(kernels.device())
                && module.kernel(name, PIPELINED_BYTES + rowBytes(in)).residentBlocks(THREADS)
                        == module.kernel(name, PIPELINED_BYTES).residentBlocks(THREADS);
    }

    private static int rowBytes(int in) {
        return Short.BYTES * in;
    }

    @Override
    public void launchOfNorm(Tensor x, int rows, NormSpec norm, List<GemvWeight<QuantizedTensor>> weights, Tensor y) {
        launch(ROWS, tiles(weights), outputs(weights), 0, arguments(x, rows, null, y), rows, norm, weights);
    }

    @Override
    public void launchGatedOfNorm(
            Tensor x,
            int rows,
            NormSpec norm,
            Activation activation,
            GemvWeight<QuantizedTensor> gate,
            GemvWeight<QuantizedTensor> up,
            Tensor y) {
        launch(
                "gated_",
                blocks(gate.out(), TENSOR_OUTPUTS / 2),
                gate.out(),
                activation.kernelCode(),
                arguments(x, rows, null, y),
                rows,
                norm,
                List.of(gate, up));
    }

    @Override
    public void launchLowRank(Tensor x, int rows, List<GemvWeight<QuantizedTensor>> weights, Tensor low) {
        CudaLowRank.launch(x, rows, weights, low);
    }

    @Override
    public boolean launchLowRankOfNorm(
            Tensor x, int rows, NormSpec norm, Tensor y, List<GemvWeight<QuantizedTensor>> weights, Tensor low) {
        return CudaLowRank.launchOfNorm(x, rows, norm, y, weights, low);
    }

    private static long blocks(long outputs, long ofBlock) {
        return (outputs + ofBlock - 1) / ofBlock;
    }

    private static GemvArguments arguments(Tensor x, int rows, @Nullable Tensor low, Tensor y) {
        return new GemvArguments(rows, low).add(x, y);
    }

    /**
     * Launches the way's kernel.
     *
     * @param ending whether products are added to what y holds, or the function of the gate
     * @param norm of x; null for none
     */
    private void launch(
            String prefix,
            long blocks,
            int stride,
            int ending,
            GemvArguments arguments,
            int rows,
            @Nullable NormSpec norm,
            List<GemvWeight<QuantizedTensor>> weights) {
        int shift = Integer.numberOfTrailingZeros(settings.blockSize());
        arguments.add(
                weights.get(0).in(),
                rows,
                stride,
                ending,
                shift,
                Math.toIntExact(blocks),
                kernels.table(settings.type()));
        for (int i = 0; i < MAX_WEIGHTS; i++) {
            if (i < weights.size()) {
                addWeight(arguments, weights.get(i).form());
                arguments.addEnding(weights.get(i));
            } else {
                arguments.addNothing(OWN_ARGUMENTS);
            }
        }
        if (way == Way.PIPELINED) {
            arguments.addNorm(norm);
        }
        @Nullable Object[] values = arguments.toArray();
        CudaModule module = module();
        // Each block takes several tiles, so that reading never pauses.
        switch (way) {
            case PIPELINED -> {
                PipelinedForm form =
                        pipelined(module, prefix, blocks, rows, weights.get(0).in(), norm);
                module.kernel(form.name(), form.sharedBytes()).launch(form.blocks(), THREADS, values);
            }
            case TENSOR_CORES -> {
                int held = blocks <= (long) FEW_BLOCKS * module.multiprocessors() ? FEW_BLOCKS : MANY_BLOCKS;
                module.kernel(prefix + (rows <= TILE ? "tensor_4_" : "tensor_8_") + held)
                        .launch(Math.min(blocks, (long) held * module.multiprocessors()), THREADS, values);
            }
            case SCALAR ->
                module.kernel(prefix + (type == ScalarType.Float ? "plain_f32" : "plain_bf16"))
                        .launch(blocks, THREADS, values);
        }
    }

    /** A kernel of {@code pipelinedgemv.cu} and its blocks. */
    private record PipelinedForm(String name, int sharedBytes, long blocks) {}

    private PipelinedForm pipelined(
            CudaModule module, String prefix, long tiles, int rows, int in, @Nullable NormSpec norm) {
        // Blocks that have a multiprocessor each read further ahead, where a warp has more steps than are on their way
        // anyway.
        boolean deep = prefix.equals(ROWS)
                && tiles <= module.multiprocessors()
                && rows <= PIPELINED_ROWS
                && norm == null
                && in > PIPELINED_STEP * WARPS * PIPELINED_SLOTS
                && DEEP_BYTES <= CudaModule.maxSharedBytes(kernels.device());
        if (deep) {
            return new PipelinedForm("rows_ring_deep", DEEP_BYTES, tiles);
        }
        String name = prefix + "ring_" + blocks(rows, PIPELINED_ROWS) + "_";
        int bytes = PIPELINED_BYTES + (norm == null ? 0 : rowBytes(in));
        int resident = module.kernel(name + 1, bytes).residentBlocks(THREADS);
        long room = (long) resident * module.multiprocessors();
        long held = Math.min(MAX_HELD, blocks(tiles, room));
        return new PipelinedForm(name + held, bytes, Math.min(tiles, room));
    }

    private CudaModule module() {
        return CudaModule.of(
                QuantGemvKernel.class, way == Way.PIPELINED ? "pipelinedgemv.cu" : "gemv.cu", kernels.device());
    }

    private static void addWeight(GemvArguments arguments, QuantizedTensor weight) {
        if (weight.scales() instanceof BlockScales.Nested nested) {
            arguments.add(weight.packed(), nested.absmax(), nested.codes(), nested.map(), nested.offset());
        } else if (weight.scales() instanceof BlockScales.Plain plain) {
            arguments.add(weight.packed(), plain.absmax(), null, null, 0f);
        }
    }
}
