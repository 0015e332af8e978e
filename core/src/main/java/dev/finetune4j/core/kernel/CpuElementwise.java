package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.cpu.ElementKernels;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/** The passes on the CPU. */
record CpuElementwise(ElementKernels kernels) implements Elementwise {
    @Override
    public boolean supports(Activation activation) {
        return activation == Activation.SILU;
    }

    @Override
    public boolean copiesCheaply() {
        return false;
    }

    @Override
    public void rmsForward(Tensor x, Tensor weight, Tensor y, Tensor inverse, float epsilon, boolean unitOffset) {
        kernels.rmsForward(x, weight, y, inverse, epsilon, unitOffset);
    }

    @Override
    public void rmsForwardOfSum(
            Tensor x,
            Tensor branch,
            Tensor sum,
            Tensor weight,
            Tensor y,
            Tensor inverse,
            float epsilon,
            boolean unitOffset) {
        torch.add_out(sum, x, branch);
        kernels.rmsForward(sum, weight, y, inverse, epsilon, unitOffset);
    }

    @Override
    public void rmsBackward(
            Tensor gradient,
            Tensor x,
            Tensor weight,
            Tensor inverse,
            @Nullable Tensor past,
            Tensor dx,
            @Nullable Tensor y,
            boolean unitOffset) {
        kernels.rmsBackward(gradient, x, weight, inverse, past, dx, y, unitOffset);
    }

    @Override
    public void gatedForward(Activation activation, Tensor both, Tensor y) {
        requireSilu(activation);
        kernels.swigluForward(both, y);
    }

    @Override
    public void gatedBackward(Activation activation, Tensor gradient, Tensor both, @Nullable Tensor y) {
        requireSilu(activation);
        kernels.swigluBackward(gradient, both, y);
    }

    private static void requireSilu(Activation activation) {
        if (activation != Activation.SILU) {
            throw new IllegalArgumentException("there is no kernel for " + activation + " on the CPU");
        }
    }

    @Override
    public void rope(Tensor x, Tensor y, Tensor cos, Tensor sin, float direction) {
        kernels.rope(x.transpose(1, 2), y, cos, sin, direction);
    }

    @Override
    public void ropeInPlace(Tensor rows, int heads, Tensor cos, Tensor sin, float direction) {
        long size = cos.size(1);
        Tensor turned = rows.narrow(2, 0, heads * size).view(rows.size(0), rows.size(1), heads, size);
        kernels.rope(turned, turned, cos, sin, direction);
    }
}
