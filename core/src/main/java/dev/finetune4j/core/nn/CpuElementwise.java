package dev.finetune4j.core.nn;

import dev.finetune4j.core.cpu.ElementKernels;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The passes on the CPU. */
record CpuElementwise(ElementKernels kernels) implements Elementwise {
    @Override
    public void rmsForward(Tensor x, Tensor weight, Tensor y, Tensor inverse, float epsilon, boolean fromOne) {
        kernels.rmsForward(x, weight, y, inverse, epsilon, fromOne);
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
            boolean fromOne) {
        kernels.rmsBackward(gradient, x, weight, inverse, past, dx, y, fromOne);
    }

    @Override
    public void swigluForward(Tensor both, Tensor y) {
        kernels.swigluForward(both, y);
    }

    @Override
    public void swigluBackward(Tensor gradient, Tensor both, @Nullable Tensor y) {
        kernels.swigluBackward(gradient, both, y);
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
