package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.cpu.ElementKernels;
import dev.finetune4j.core.kernel.cpu.GemmKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** On the CPU by kernels of our own for matrices of one type whose rows are contiguous. */
final class CpuMatmul extends TorchMatmul {
    private final GemmKernels kernels;

    CpuMatmul(GemmKernels kernels) {
        this.kernels = kernels;
    }

    private static boolean supports(Tensor x, Tensor weight) {
        return GemmKernels.supports(weight) && Tensors.typeOf(x) == Tensors.typeOf(weight);
    }

    private static Tensor contiguousRows(Tensor x) {
        return GemmKernels.supports(x) ? x : x.contiguous();
    }

    @Override
    public Tensor forward(Tensor x, Tensor weight, @Nullable Tensor bias) {
        if (!supports(x, weight)) {
            return super.forward(x, weight, bias);
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = x.reshape(-1, x.size(-1));
            Tensor y = Tensors.empty(Tensors.deviceOf(x), Tensors.typeOf(x), flat.size(0), weight.size(0));
            kernels.gemmNT(contiguousRows(flat), weight, bias, y, 1, false);
            return scope.keep(y.view(withLast(x, weight.size(0))));
        }
    }

    @Override
    public Tensor backward(Tensor dy, Tensor weight) {
        if (!supports(dy, weight)) {
            return super.backward(dy, weight);
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = dy.reshape(-1, dy.size(-1));
            Tensor dx = Tensors.empty(Tensors.deviceOf(dy), Tensors.typeOf(dy), flat.size(0), weight.size(1));
            kernels.gemmNN(contiguousRows(flat), weight, dx, 1, false);
            return scope.keep(dx.view(withLast(dy, weight.size(1))));
        }
    }

    @Override
    public void addForward(Tensor y, Tensor x, Tensor weight) {
        if (supports(x, weight) && GemmKernels.supports(y)) {
            kernels.gemmNT(contiguousRows(x), weight, null, y, 1, true);
        } else {
            super.addForward(y, x, weight);
        }
    }

    @Override
    public void addBackward(Tensor dx, Tensor dy, Tensor weight) {
        if (supports(dy, weight) && GemmKernels.supports(dx)) {
            kernels.gemmNN(contiguousRows(dy), weight, dx, 1, true);
        } else {
            super.addBackward(dx, dy, weight);
        }
    }

    @Override
    public void gemmNT(Tensor a, Tensor b, Tensor c) {
        if (GemmKernels.supports(a) && GemmKernels.supports(b)) {
            kernels.gemmNT(a, b, null, c, 1, false);
        } else {
            super.gemmNT(a, b, c);
        }
    }

    @Override
    public void gemmNN(Tensor a, Tensor b, Tensor c) {
        if (GemmKernels.supports(a) && GemmKernels.supports(b)) {
            kernels.gemmNN(a, b, c, 1, false);
        } else {
            super.gemmNN(a, b, c);
        }
    }

    @Override
    public void addTN(Tensor sum, Tensor a, Tensor b) {
        Tensor left = contiguousRows(a);
        Tensor right = contiguousRows(b);
        if (GemmKernels.supports(left) && GemmKernels.supports(right)) {
            kernels.gemmTN(left, right, sum);
        } else {
            super.addTN(sum, a, b);
        }
    }

    @Override
    public boolean sumsGradients(Tensor x, Tensor weight) {
        return ElementKernels.supports(Tensors.typeOf(x)) && GemmKernels.supports(weight);
    }
}
