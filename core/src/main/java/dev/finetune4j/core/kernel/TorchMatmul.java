package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/** By libtorch's operations; what a device has for some shapes only leaves the others to these. */
class TorchMatmul implements MatmulKernels {
    static final TorchMatmul INSTANCE = new TorchMatmul();

    @Override
    public Tensor forward(Tensor x, Tensor weight, @Nullable Tensor bias) {
        return bias == null ? torch.linear(x, weight) : torch.linear(x, weight, new TensorOptional(bias));
    }

    @Override
    public Tensor backward(Tensor dy, Tensor weight) {
        return dy.matmul(weight);
    }

    @Override
    public void addForward(Tensor y, Tensor x, Tensor weight) {
        y.addmm_(x, weight.t());
    }

    @Override
    public void addBackward(Tensor dx, Tensor dy, Tensor weight) {
        dx.addmm_(dy, weight);
    }

    @Override
    public void gemmNT(Tensor a, Tensor b, Tensor c) {
        torch.mm_out(c, a, b.t());
    }

    @Override
    public void gemmNN(Tensor a, Tensor b, Tensor c) {
        torch.mm_out(c, a, b);
    }

    @Override
    public void addTN(Tensor sum, Tensor a, Tensor b) {
        sum.add_(torch.mm(a.t(), b));
    }

    @Override
    public Tensor lowRank(Tensor a, Tensor b) {
        Tensor c = Tensors.empty(Tensors.deviceOf(a), Tensors.typeOf(a), a.size(0), b.size(1));
        gemmNN(a, b, c);
        return c;
    }

    @Override
    public boolean sumsGradients(Tensor x, Tensor weight) {
        return false;
    }

    @Override
    public boolean prefersStacked() {
        return false;
    }

    /** A shape with another last dimension. */
    static long[] withLast(Tensor x, long size) {
        long[] shape = x.shape();
        shape[shape.length - 1] = size;
        return shape;
    }
}
