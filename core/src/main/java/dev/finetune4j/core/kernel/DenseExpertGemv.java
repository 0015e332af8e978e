package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * GEMV of the chosen weights among dense ones that lie behind one another, on a CUDA GPU ({@code expertgemv.cu}). Only those are read.
 *
 * @param first of the weights, shape (out, in)
 * @param type of weights, input and output: float32 or bfloat16
 * @param addition null for nothing
 */
record DenseExpertGemv(
        ComputeDevice device,
        Tensor first,
        ScalarType type,
        @Nullable ExpertAddition addition) implements ExpertGemv {
    private static final int THREADS = 256;
    private static final int WARPS = THREADS / 32;
    private static final int VECTOR_WIDTH = 8;

    /** The weights as this kernel takes them; null where it does not support them. */
    static @Nullable ExpertGemv of(List<Tensor> weights, ScalarType type) {
        Tensor first = weights.get(0);
        boolean supported = (type == ScalarType.BFloat16 || type == ScalarType.Float)
                && Tensors.typeOf(first) == type
                && first.is_contiguous()
                && first.storage_offset() % VECTOR_WIDTH == 0
                && first.size(1) % VECTOR_WIDTH == 0;
        try (TensorScope scope = new TensorScope()) {
            return supported && AdjacentTensors.view(weights).isPresent()
                    ? new DenseExpertGemv(Tensors.deviceOf(first), first, type, null)
                    : null;
        }
    }

    @Override
    public ExpertGemv with(ExpertAddition added) {
        return new DenseExpertGemv(device, first, type, added);
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
        arguments.add(first);
        CudaExpertAddition.addTo(arguments, addition, low);
        kernel("experts_gated_").launch(blocks * chosen.numel(), THREADS, arguments.toArray());
    }

    @Override
    public void launchCombined(Tensor x, Choice choice, double factor, Tensor low, Tensor y, boolean add) {
        CudaExpertAddition.launch(x, choice.chosen(), addition, low);
        List<@Nullable Object> arguments = new ArrayList<>(List.of(x, y, choice.chosen(), choice.shares()));
        long blocks = addShape(arguments, choice.chosen());
        arguments.add((float) factor);
        arguments.add(add ? 1 : 0);
        arguments.add(first);
        CudaExpertAddition.addTo(arguments, addition, low);
        kernel("experts_combined_").launch(blocks * choice.chosen().size(0), THREADS, arguments.toArray());
    }

    private CudaKernel kernel(String name) {
        return CudaModule.of(DenseExpertGemv.class, "expertgemv.cu", device)
                .kernel(name + (type == ScalarType.Float ? "f32" : "bf16"));
    }

    /** Adds width, outputs, experts of a row, and the blocks of a row of outputs, which it returns. */
    private long addShape(List<@Nullable Object> arguments, Tensor chosen) {
        int out = Math.toIntExact(first.size(0));
        int blocks = (out + WARPS - 1) / WARPS;
        arguments.addAll(List.of(Math.toIntExact(first.size(1)), out, Math.toIntExact(chosen.size(1)), blocks));
        return blocks;
    }
}
