package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Low-rank additions to the chosen weights of a stack on a CUDA GPU: the products with A, and how kernels are told of B. */
public final class CudaExpertAddition {
    private static final int THREADS = 128;
    private static final int OF_STRUCT = 8;

    private CudaExpertAddition() {}

    /**
     * {@code low = scale · A x} of the experts of each row ({@code experts.cu}); nothing without an addition.
     *
     * @param x shape (rows, in) or one row for each expert of them, (rows · k, in), contiguous
     * @param chosen int32, shape (rows, k)
     * @param low float32, at least rows · k · numbers of the addition
     * @throws IllegalArgumentException when the numbers have no room in low
     */
    public static void launch(Tensor x, Tensor chosen, @Nullable ExpertAddition addition, Tensor low) {
        if (addition == null) {
            return;
        }
        long pairs = chosen.numel();
        if (low.numel() < pairs * addition.numbers()) {
            throw new IllegalArgumentException("the products with A of " + pairs + " experts are " + addition.numbers()
                    + " numbers each, for which there is no room in " + low.numel());
        }
        CudaModule.of(CudaExpertAddition.class, "experts.cu", Tensors.deviceOf(x))
                .kernel("expert_low_rank" + (Tensors.typeOf(x) == ScalarType.Float ? "_f32" : "_bf16"))
                .launch(
                        pairs * addition.numbers(),
                        THREADS,
                        x,
                        addition.a(),
                        chosen,
                        low,
                        Math.toIntExact(x.size(1)),
                        addition.numbers(),
                        Math.toIntExact(pairs / x.size(0)),
                        addition.scale());
    }

    /**
     * Adds the fields of the struct {@code Addition} of experts.cuh; zeros without an addition. It has to be a kernel's last argument or
     * begin it.
     */
    public static void addTo(List<@Nullable Object> arguments, @Nullable ExpertAddition addition, Tensor low) {
        if (addition == null) {
            arguments.addAll(Arrays.asList(new @Nullable Object[OF_STRUCT]));
            return;
        }
        ExpertAddition.Strides strides = addition.strides();
        arguments.addAll(List.of(
                low,
                addition.b(),
                strides.expert(),
                strides.linear(),
                strides.output(),
                strides.number(),
                addition.numbers(),
                addition.rank()));
    }
}
