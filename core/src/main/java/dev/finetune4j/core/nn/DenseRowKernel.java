package dev.finetune4j.core.nn;

import dev.finetune4j.core.cuda.CudaKernel;
import dev.finetune4j.core.cuda.CudaModule;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Few rows times dense weights ({@code rows.cu}): one warp for an output, which reads each weight once for all rows.
 *
 * @param type of weights, input and output: float32 or bfloat16
 */
record DenseRowKernel(ComputeDevice device, ScalarType type) implements RowKernel {
    private static final int THREADS = 256;
    private static final int WARPS = THREADS / 32;
    private static final int PIECE = 8;
    private static final int OWN_ARGUMENTS = 1;

    /** A weight as this kernel takes it; null where the kernel does not serve. */
    static @Nullable RowWeight weight(Tensor weight, @Nullable Tensor bias, ScalarType type) {
        boolean serves = weight.is_cuda()
                && (type == ScalarType.BFloat16 || type == ScalarType.Float)
                && Tensors.typeOf(weight) == type
                && (bias == null || Tensors.typeOf(bias) == type)
                && weight.is_contiguous()
                && weight.storage_offset() % PIECE == 0
                && weight.size(1) % PIECE == 0;
        if (!serves) {
            return null;
        }
        return new RowWeight(
                new DenseRowKernel(Tensors.deviceOf(weight), type),
                Math.toIntExact(weight.size(1)),
                Math.toIntExact(weight.size(0)),
                weight,
                bias,
                null);
    }

    @Override
    public void launch(Tensor x, int rows, List<RowWeight> weights, @Nullable Tensor low, Tensor y, boolean add) {
        int outputs = weights.stream().mapToInt(RowWeight::out).sum();
        RowArguments arguments =
                new RowArguments(rows, low).add(x, y, weights.get(0).in(), outputs, add ? 1 : 0);
        for (int i = 0; i < MOST_WEIGHTS; i++) {
            if (i < weights.size()) {
                arguments.add(weights.get(i).form()).addEnding(weights.get(i));
            } else {
                arguments.addNothing(OWN_ARGUMENTS);
            }
        }
        kernel("rows_", rows).launch((outputs + WARPS - 1) / WARPS, THREADS, arguments.toArray());
    }

    @Override
    public void launchGated(Tensor x, int rows, RowWeight gate, RowWeight up, @Nullable Tensor low, Tensor y) {
        RowArguments arguments = new RowArguments(rows, low).add(x, y, gate.in());
        arguments.add(gate.form()).addEnding(gate).add(up.form()).addEnding(up);
        kernel("gated_", rows).launch((gate.out() + WARPS - 1) / WARPS, THREADS, arguments.toArray());
    }

    private CudaKernel kernel(String prefix, int rows) {
        return CudaModule.of(DenseRowKernel.class, "rows.cu", device)
                .kernel(prefix + (type == ScalarType.Float ? "f32_" : "bf16_") + rows);
    }
}
