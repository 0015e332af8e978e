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

/**
 * The matmul by a dense weight, by the quickest way that the device has. A weight of another type is converted to that of the
 * input at each call.
 *
 * @param weight shape (out, in)
 */
public record DenseMatmul(Tensor weight) implements FrozenMatmul {
    /** The kernels of the CPU where they can multiply two matrices. */
    private static Optional<GemmKernels> kernels(Tensor x, Tensor w) {
        return GemmKernels.supports(w) && Tensors.typeOf(x) == Tensors.typeOf(w)
                ? CpuKernels.get().map(CpuKernels::products)
                : Optional.empty();
    }

    private static Tensor contiguousRows(Tensor x) {
        return GemmKernels.supports(x) ? x : x.contiguous();
    }

    /** The weight in the type of x. */
    private Tensor converted(Tensor x) {
        return Tensors.as(weight, Tensors.typeOf(x));
    }

    @Override
    public long outFeatures() {
        return weight.size(0);
    }

    /**
     * {@code x Wᵀ + b}.
     *
     * @param x shape (…, in)
     * @param bias shape (out), of the type of x, or null
     * @return shape (…, out)
     */
    public Tensor forward(Tensor x, @Nullable Tensor bias) {
        Tensor w = converted(x);
        Optional<GemmKernels> kernels = kernels(x, w);
        if (kernels.isEmpty() && (bias != null || !x.is_cuda())) {
            return bias == null ? torch.linear(x, w) : torch.linear(x, w, new TensorOptional(bias));
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = x.reshape(-1, x.size(-1)); // (n, in)
            Tensor y = Tensors.empty(Tensors.deviceOf(x), Tensors.typeOf(x), flat.size(0), w.size(0));
            if (kernels.isPresent()) {
                kernels.get().gemmNT(contiguousRows(flat), w, bias, y, 1, false);
            } else if (!GemmSelector.multiply(y, flat, w, true, false)) {
                return scope.keep(torch.linear(x, w));
            }
            return scope.keep(y.view(withLast(x, w.size(0))));
        }
    }

    /**
     * The gradient of the input, {@code dy W}.
     *
     * @param dy shape (…, out)
     * @return shape (…, in)
     */
    public Tensor backward(Tensor dy) {
        Tensor w = converted(dy);
        Optional<GemmKernels> kernels = kernels(dy, w);
        if (kernels.isEmpty() && !dy.is_cuda()) {
            return dy.matmul(w);
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = dy.reshape(-1, dy.size(-1)); // (n, out)
            Tensor dx = Tensors.empty(Tensors.deviceOf(dy), Tensors.typeOf(dy), flat.size(0), w.size(1));
            if (kernels.isPresent()) {
                kernels.get().gemmNN(contiguousRows(flat), w, dx, 1, false);
            } else if (!GemmSelector.multiply(dx, flat, w, false, false)) {
                return scope.keep(dy.matmul(w));
            }
            return scope.keep(dx.view(withLast(dy, w.size(1))));
        }
    }

    @Override
    public void addForward(Tensor y, Tensor x) {
        Tensor w = converted(x);
        Optional<GemmKernels> kernels = kernels(x, w);
        if (kernels.isPresent() && GemmKernels.supports(y)) {
            kernels.get().gemmNT(contiguousRows(x), w, null, y, 1, true);
        } else if (!GemmSelector.multiply(y, x, w, true, true)) {
            y.addmm_(x, w.t());
        }
    }

    @Override
    public void addBackward(Tensor dx, Tensor dy) {
        Tensor w = converted(dy);
        Optional<GemmKernels> kernels = kernels(dy, w);
        if (kernels.isPresent() && GemmKernels.supports(dx)) {
            kernels.get().gemmNN(contiguousRows(dy), w, dx, 1, true);
        } else if (!GemmSelector.multiply(dx, dy, w, false, true)) {
            dx.addmm_(dy, w);
        }
    }

    private static long[] withLast(Tensor x, long size) {
        long[] shape = x.shape();
        shape[shape.length - 1] = size;
        return shape;
    }
}
