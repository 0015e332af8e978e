package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * GEMV of dense weights ({@code gemv.cu}): one warp for an output, or from three rows of bfloat16 on by tensor cores, 16
 * outputs a block. Each weight is read once for all rows.
 *
 * @param type of weights, input and output: float32 or bfloat16
 */
record DenseGemvKernel(ComputeDevice device, ScalarType type) implements GemvKernel<Tensor> {
    private static final int THREADS = 256;
    private static final int WARPS = THREADS / 32;
    private static final int VECTOR_WIDTH = 8;
    private static final int TILE_OUTPUTS = 16;
    /** For fewer a warp for each output is as quick or quicker. */
    private static final int MIN_TENSOR_ROWS = 3;

    private static final int OWN_ARGUMENTS = 1;

    /** A weight as this kernel takes it; null where the kernel does not support it. */
    static @Nullable GemvWeight<Tensor> weight(Tensor weight, @Nullable Tensor bias, ScalarType type) {
        boolean supported = (type == ScalarType.BFloat16 || type == ScalarType.Float)
                && Tensors.typeOf(weight) == type
                && (bias == null || Tensors.typeOf(bias) == type)
                && weight.is_contiguous()
                && weight.storage_offset() % VECTOR_WIDTH == 0
                && weight.size(1) % VECTOR_WIDTH == 0;
        if (!supported) {
            return null;
        }
        return new GemvWeight<>(
                new DenseGemvKernel(Tensors.deviceOf(weight), type),
                Math.toIntExact(weight.size(1)),
                Math.toIntExact(weight.size(0)),
                weight,
                bias,
                null);
    }

    @Override
    public void launch(
            Tensor x, int rows, List<GemvWeight<Tensor>> weights, @Nullable Tensor low, Tensor y, boolean add) {
        int outputs = weights.stream().mapToInt(GemvWeight::out).sum();
        GemvArguments arguments = arguments(x, rows, low, y, weights.get(0));
        arguments.add(outputs, add ? 1 : 0);
        for (int i = 0; i < MAX_WEIGHTS; i++) {
            if (i < weights.size()) {
                arguments.add(weights.get(i).form()).addEnding(weights.get(i));
            } else {
                arguments.addNothing(OWN_ARGUMENTS);
            }
        }
        int blocks = tensorCores(rows)
                ? weights.stream()
                        .mapToInt(weight -> blocks(weight.out(), TILE_OUTPUTS))
                        .sum()
                : blocks(outputs, WARPS);
        kernel("rows_", rows).launch(blocks, THREADS, arguments.toArray());
    }

    @Override
    public void launchGated(
            Tensor x,
            int rows,
            Activation activation,
            GemvWeight<Tensor> gate,
            GemvWeight<Tensor> up,
            @Nullable Tensor low,
            Tensor y) {
        GemvArguments arguments = arguments(x, rows, low, y, gate).add(activation.kernelCode());
        arguments.add(gate.form()).addEnding(gate).add(up.form()).addEnding(up);
        kernel("gated_", rows)
                .launch(blocks(gate.out(), tensorCores(rows) ? TILE_OUTPUTS / 2 : WARPS), THREADS, arguments.toArray());
    }

    private GemvArguments arguments(Tensor x, int rows, @Nullable Tensor low, Tensor y, GemvWeight<Tensor> first) {
        GemvArguments arguments = new GemvArguments(rows, low).add(x, y, first.in());
        return tensorCores(rows) ? arguments.add(rows) : arguments;
    }

    @Override
    public void launchLowRank(Tensor x, int rows, List<GemvWeight<Tensor>> weights, Tensor low) {
        CudaLowRank.launch(x, rows, weights, low);
    }

    @Override
    public boolean launchLowRankOfNorm(
            Tensor x, int rows, NormSpec norm, Tensor y, List<GemvWeight<Tensor>> weights, Tensor low) {
        return CudaLowRank.launchOfNorm(x, rows, norm, y, weights, low);
    }

    private static int blocks(int outputs, int ofBlock) {
        return (outputs + ofBlock - 1) / ofBlock;
    }

    /** Whether tensor cores multiply: they take bfloat16 and sum in float. */
    private boolean tensorCores(int rows) {
        return type == ScalarType.BFloat16 && rows >= MIN_TENSOR_ROWS;
    }

    private CudaKernel kernel(String prefix, int rows) {
        return CudaModule.of(DenseGemvKernel.class, "gemv.cu", device)
                .kernel(prefix + (tensorCores(rows) ? "tile" : (type == ScalarType.Float ? "f32_" : "bf16_") + rows));
    }
}
