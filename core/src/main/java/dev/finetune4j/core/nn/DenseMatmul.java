package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.GemmKernels;
import dev.finetune4j.core.kernel.cuda.GemmSelector;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/** Matmuls by a dense weight that is not trained, by the quickest way that the device has. Nothing records gradients. */
public final class DenseMatmul {
    private DenseMatmul() {}

    /** The kernels of the CPU where they can multiply two matrices. */
    private static Optional<GemmKernels> kernels(Tensor x, Tensor weight) {
        return GemmKernels.supports(weight) && Tensors.typeOf(x) == Tensors.typeOf(weight)
                ? CpuKernels.get().map(CpuKernels::products)
                : Optional.empty();
    }

    private static Tensor contiguousRows(Tensor x) {
        return GemmKernels.supports(x) ? x : x.contiguous();
    }

    /**
     * {@code x Wᵀ + b}.
     *
     * @param x shape (…, in)
     * @param weight shape (out, in), of the type of x
     * @param bias shape (out), of the type of x, or null
     * @return shape (…, out)
     */
    public static Tensor forward(Tensor x, Tensor weight, @Nullable Tensor bias) {
        Optional<GemmKernels> kernels = kernels(x, weight);
        if (kernels.isEmpty() && (bias != null || !x.is_cuda())) {
            return bias == null ? torch.linear(x, weight) : torch.linear(x, weight, new TensorOptional(bias));
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = x.reshape(-1, x.size(-1));
            Tensor y = Tensors.empty(Tensors.deviceOf(x), Tensors.typeOf(x), flat.size(0), weight.size(0));
            if (kernels.isPresent()) {
                kernels.get().gemmNT(contiguousRows(flat), weight, bias, y, 1, false);
            } else if (!GemmSelector.multiply(y, flat, weight, true, false)) {
                return scope.keep(torch.linear(x, weight));
            }
            return scope.keep(y.view(withLast(x, weight.size(0))));
        }
    }

    /**
     * The gradient of the input, {@code dy W}.
     *
     * @param gradient shape (…, out)
     * @param weight shape (out, in), of the type of the gradient
     * @return shape (…, in)
     */
    public static Tensor backward(Tensor gradient, Tensor weight) {
        Optional<GemmKernels> kernels = kernels(gradient, weight);
        if (kernels.isEmpty() && !gradient.is_cuda()) {
            return gradient.matmul(weight);
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = gradient.reshape(-1, gradient.size(-1));
            Tensor dx =
                    Tensors.empty(Tensors.deviceOf(gradient), Tensors.typeOf(gradient), flat.size(0), weight.size(1));
            if (kernels.isPresent()) {
                kernels.get().gemmNN(contiguousRows(flat), weight, dx, 1, false);
            } else if (!GemmSelector.multiply(dx, flat, weight, false, false)) {
                return scope.keep(gradient.matmul(weight));
            }
            return scope.keep(dx.view(withLast(gradient, weight.size(1))));
        }
    }

    /**
     * {@code y += x Wᵀ}.
     *
     * @param y shape (n, out), each row contiguous
     * @param x shape (n, in)
     * @param weight shape (out, in), of the type of x
     */
    public static void add(Tensor y, Tensor x, Tensor weight) {
        Optional<GemmKernels> kernels = kernels(x, weight);
        if (kernels.isPresent() && GemmKernels.supports(y)) {
            kernels.get().gemmNT(contiguousRows(x), weight, null, y, 1, true);
        } else if (!GemmSelector.multiply(y, x, weight, true, true)) {
            y.addmm_(x, weight.t());
        }
    }

    /**
     * {@code dx += dy W}.
     *
     * @param dx shape (n, in)
     * @param gradient shape (n, out), each row contiguous
     * @param weight shape (out, in), of the type of the gradient
     */
    public static void addBackward(Tensor dx, Tensor gradient, Tensor weight) {
        Optional<GemmKernels> kernels = kernels(gradient, weight);
        if (kernels.isPresent() && GemmKernels.supports(dx)) {
            kernels.get().gemmNN(contiguousRows(gradient), weight, dx, 1, true);
        } else if (!GemmSelector.multiply(dx, gradient, weight, false, true)) {
            dx.addmm_(gradient, weight);
        }
    }

    private static long[] withLast(Tensor x, long size) {
        long[] shape = x.shape();
        shape[shape.length - 1] = size;
        return shape;
    }
}
