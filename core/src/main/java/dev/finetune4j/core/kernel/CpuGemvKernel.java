package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.TokenKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * GEMV on the CPU, whatever their form: each weight brings its own product. A low-rank addition is written
 * first and the wide product added to it, as in training.
 *
 * @param type of input and output: float32 or bfloat16
 */
public record CpuGemvKernel(ScalarType type) implements GemvKernel<CpuGemvKernel.Product> {
    /** The product with one weight. */
    @FunctionalInterface
    public interface Product {
        /**
         * {@code y = x Wᵀ + b}, or that added to y.
         *
         * @param x shape (rows, in), contiguous
         * @param y shape (rows, out); the numbers of a row lie side by side
         */
        void run(Tensor x, @Nullable Tensor bias, Tensor y, boolean add);
    }

    /** A weight as this kernel takes it; null where there are no kernels of our own. */
    public static @Nullable GemvWeight<Product> weight(
            ScalarType type, long in, long out, @Nullable Tensor bias, Product product) {
        if (CpuKernels.get().isEmpty()) {
            return null;
        }
        return new GemvWeight<>(
                new CpuGemvKernel(type.intern()), Math.toIntExact(in), Math.toIntExact(out), product, bias, null);
    }

    /** A dense weight; null where the kernel does not support it. */
    static @Nullable GemvWeight<Product> dense(Tensor weight, @Nullable Tensor bias, ScalarType type) {
        boolean supported = (type == ScalarType.BFloat16 || type == ScalarType.Float)
                && Tensors.typeOf(weight) == type
                && (bias == null || Tensors.typeOf(bias) == type)
                && weight.is_contiguous();
        if (!supported || CpuKernels.get().isEmpty()) {
            return null;
        }
        TokenKernels kernels = CpuKernels.get().get().tokens();
        return weight(
                type,
                weight.size(1),
                weight.size(0),
                bias,
                (x, added, y, add) -> kernels.gemv(weight, x, added, y, add));
    }

    /**
     * The same weight with something added to its products.
     *
     * @param more adds to them
     * @return null for a weight of another kernel
     */
    public static @Nullable GemvWeight<?> plus(GemvWeight<?> weight, Product more) {
        if (!(weight.kernel() instanceof CpuGemvKernel kernel) || !(weight.form() instanceof Product first)) {
            return null;
        }
        Product both = (x, bias, y, add) -> {
            first.run(x, bias, y, add);
            more.run(x, null, y, true);
        };
        return new GemvWeight<>(kernel, weight.in(), weight.out(), both, weight.bias(), weight.addition());
    }

    /**
     * {@code y += scale · B A x}.
     *
     * @param x shape (rows, in), contiguous
     * @param y shape (rows, out); the numbers of a row lie side by side
     */
    public static void addLowRank(GemvWeight.LowRank addition, Tensor x, Tensor y) {
        try (TensorScope scope = new TensorScope()) {
            Tensor low = Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, x.size(0), addition.rank());
            kernels().lowRank(addition.a(), x, low, 0, addition.scale());
            kernels().highRank(addition.b(), low, 0, y, true);
        }
    }

    private static TokenKernels kernels() {
        return CpuKernels.get().orElseThrow().tokens();
    }

    @Override
    public void launchLowRank(Tensor x, int rows, List<GemvWeight<Product>> weights, Tensor low) {
        long place = 0;
        for (GemvWeight<Product> weight : weights) {
            GemvWeight.LowRank addition = weight.addition();
            if (addition != null) {
                kernels().lowRank(addition.a(), x, low, place, addition.scale());
                place += (long) rows * addition.rank();
            }
        }
    }

    @Override
    public void launch(
            Tensor x, int rows, List<GemvWeight<Product>> weights, @Nullable Tensor low, Tensor y, boolean add) {
        long place = 0;
        long column = 0;
        for (GemvWeight<Product> weight : weights) {
            Tensor part = weights.size() == 1 ? y : y.narrow(1, column, weight.out());
            GemvWeight.LowRank addition = weight.addition();
            if (addition != null) {
                kernels().highRank(addition.b(), Objects.requireNonNull(low), place, part, add);
                place += (long) rows * addition.rank();
            }
            weight.form().run(x, weight.bias(), part, add || addition != null);
            column += weight.out();
        }
    }

    @Override
    public void launchGated(
            Tensor x,
            int rows,
            Activation activation,
            GemvWeight<Product> gate,
            GemvWeight<Product> up,
            @Nullable Tensor low,
            Tensor y) {
        try (TensorScope scope = new TensorScope()) {
            Tensor both = Tensors.empty(ComputeDevice.cpu(), type, rows, 2L * gate.out());
            launch(x, rows, List.of(gate, up), low, both, false);
            CpuDecodeKernels.gate(CpuKernels.get().orElseThrow().elements(), activation, both, y);
        }
    }
}
