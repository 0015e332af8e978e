package dev.finetune4j.quant.kernel;

import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.CudaExpertAddition;
import dev.finetune4j.core.kernel.ExpertAddition;
import dev.finetune4j.core.kernel.ExpertGemv;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * GEMV of the chosen weights of a 4-bit stack ({@code expertgemv.cu}), of which only those are read.
 *
 * @param kernels where the weights are
 * @param type of input and output: float32 or bfloat16
 * @param addition null for nothing
 */
record QuantExpertGemv(
        CudaQuantKernels kernels,
        QuantizedStack stack,
        ScalarType type,
        @Nullable ExpertAddition addition) implements ExpertGemv {
    private static final int THREADS = 256;
    private static final int WARPS = THREADS / 32;
    /** The weights that a lane reads at a time; they must lie in one block. */
    private static final int LANE_WIDTH = 8;

    /** The stack as this kernel takes it; null where the kernel does not support it. */
    static @Nullable ExpertGemv of(CudaQuantKernels kernels, QuantizedStack stack, ScalarType type) {
        boolean supported = (type == ScalarType.BFloat16 || type == ScalarType.Float)
                && stack.width() % LANE_WIDTH == 0
                && stack.settings().blockSize() >= LANE_WIDTH;
        return supported ? new QuantExpertGemv(kernels, stack, type, null) : null;
    }

    @Override
    public ExpertGemv with(ExpertAddition added) {
        return new QuantExpertGemv(kernels, stack, type, added);
    }

    @Override
    public int rank() {
        return addition == null ? 0 : addition.numbers();
    }

    @Override
    public void launchGated(Tensor x, Tensor chosen, Activation activation, Tensor low, Tensor y) {
        CudaExpertAddition.launch(x, chosen, addition, low);
        List<@Nullable Object> arguments = new ArrayList<>(List.of(x, y, chosen));
        long blocks = addShape(arguments, chosen);
        arguments.add(activation.kernelCode());
        addEnding(arguments, low);
        kernel("gated_").launch(blocks * chosen.numel(), THREADS, arguments.toArray());
    }

    @Override
    public void launchCombined(Tensor x, Choice choice, double factor, Tensor low, Tensor y, boolean add) {
        CudaExpertAddition.launch(x, choice.chosen(), addition, low);
        List<@Nullable Object> arguments = new ArrayList<>(List.of(x, y, choice.chosen(), choice.shares()));
        long blocks = addShape(arguments, choice.chosen());
        arguments.add((float) factor);
        arguments.add(add ? 1 : 0);
        addEnding(arguments, low);
        kernel("combined_").launch(blocks * choice.chosen().size(0), THREADS, arguments.toArray());
    }

    private CudaKernel kernel(String name) {
        return CudaModule.of(QuantExpertGemv.class, "expertgemv.cu", kernels.device())
                .kernel(name + (type == ScalarType.Float ? "f32" : "bf16"));
    }

    /** Adds width, outputs, experts of a row, and the blocks of a row of outputs, which it returns. */
    private long addShape(List<@Nullable Object> arguments, Tensor chosen) {
        int blocks = Math.toIntExact((stack.rows() + WARPS - 1) / WARPS);
        arguments.add(Math.toIntExact(stack.width()));
        arguments.add(Math.toIntExact(stack.rows()));
        arguments.add(Math.toIntExact(chosen.size(1)));
        arguments.add(blocks);
        return blocks;
    }

    /** Adds the size of a block, the table, and the struct {@code Adapted}. */
    private void addEnding(List<@Nullable Object> arguments, Tensor low) {
        Tensor codes = stack.codes();
        arguments.add(Integer.numberOfTrailingZeros(stack.settings().blockSize()));
        arguments.add(kernels.table(stack.settings().type()));
        CudaExpertAddition.addTo(arguments, addition, low);
        arguments.add(stack.packed());
        arguments.add(stack.scales());
        arguments.add(codes);
        arguments.add(stack.map());
        arguments.add(stack.offsets());
        arguments.add(stack.packed().numel() / stack.count());
        arguments.add(stack.scales().numel() / stack.count());
        arguments.add(codes == null ? 0L : codes.numel() / stack.count());
    }
}
