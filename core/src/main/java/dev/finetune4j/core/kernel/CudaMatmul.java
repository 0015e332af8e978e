package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.cuda.GemmSelector;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** On a CUDA GPU by the kernel of cuBLAS that {@link GemmSelector} takes for a shape, or that libtorch takes. */
final class CudaMatmul extends TorchMatmul {
    @Override
    public Tensor forward(Tensor x, Tensor weight, @Nullable Tensor bias) {
        if (bias != null) {
            return super.forward(x, weight, bias);
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = x.reshape(-1, x.size(-1));
            Tensor y = Tensors.empty(Tensors.deviceOf(x), Tensors.typeOf(x), flat.size(0), weight.size(0));
            return GemmSelector.multiply(y, flat, weight, true, false)
                    ? scope.keep(y.view(withLast(x, weight.size(0))))
                    : scope.keep(super.forward(x, weight, null));
        }
    }

    @Override
    public Tensor backward(Tensor dy, Tensor weight) {
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = dy.reshape(-1, dy.size(-1));
            Tensor dx = Tensors.empty(Tensors.deviceOf(dy), Tensors.typeOf(dy), flat.size(0), weight.size(1));
            return GemmSelector.multiply(dx, flat, weight, false, false)
                    ? scope.keep(dx.view(withLast(dy, weight.size(1))))
                    : scope.keep(super.backward(dy, weight));
        }
    }

    @Override
    public void addForward(Tensor y, Tensor x, Tensor weight) {
        if (!GemmSelector.multiply(y, x, weight, true, true)) {
            super.addForward(y, x, weight);
        }
    }

    @Override
    public void addBackward(Tensor dx, Tensor dy, Tensor weight) {
        if (!GemmSelector.multiply(dx, dy, weight, false, true)) {
            super.addBackward(dx, dy, weight);
        }
    }

    @Override
    public void addTN(Tensor sum, Tensor a, Tensor b) {
        if (Tensors.typeOf(a) == ScalarType.BFloat16) {
            Scalar one = new Scalar(1);
            torch.addmm_outf(sum, a.t(), b, ScalarType.Float, one, one, sum);
        } else {
            super.addTN(sum, a, b);
        }
    }

    @Override
    public Tensor lowRank(Tensor a, Tensor b) {
        // The library is twice as fast with a right factor that lies in columns.
        return torch.mm(a, b.t().contiguous().t());
    }

    @Override
    public boolean prefersStacked() {
        return true;
    }
}
