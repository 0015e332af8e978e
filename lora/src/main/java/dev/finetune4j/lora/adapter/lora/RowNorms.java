package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.nn.FrozenMatmul;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.Supplier;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The Euclidean lengths of the rows of {@code W + s · B A}, by which DoRA divides. While W is frozen its own part is computed once:
 *
 * <pre>{@code ‖w + s b A‖² = ‖w‖² + 2 s b · (A wᵀ) + s² b (A Aᵀ) bᵀ}</pre>
 *
 * so that a pass multiplies W by the few rows of A instead of making W and B A as matrices. Owned by the adapter's layer.
 * Thread-safe.
 */
final class RowNorms implements AutoCloseable {
    private @Nullable Linear known;
    private @Nullable Tensor squares;
    private @Nullable Stretch stretch;
    private @Nullable Linear stretchedBase;
    private long stretchVersion;

    /**
     * The lengths, float32, shape (out), in the caller's scope; nothing is recorded.
     *
     * @param sum makes W + s · B A, shape (out, in), float32, where W may have changed
     * @param type in which W is multiplied
     */
    Tensor of(Linear base, LoraLayer layer, Supplier<Tensor> sum, ScalarType type) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            FrozenMatmul weight = base.frozen();
            return scope.keep(
                    weight == null
                            ? squares(sum.get()).sqrt()
                            : expanded(weight, squaresOf(base, layer), layer, type)
                                    .sqrt());
        }
    }

    /**
     * What rows of products are multiplied by, and what is added to them then.
     *
     * @param factors m / lengths, shape (out), float32
     * @param bias what the factors take from the base's bias, which they do not apply to, shape (out), float32; null without one
     */
    record Stretch(Tensor factors, @Nullable Tensor bias) {
        void close() {
            factors.close();
            if (bias != null) {
                bias.close();
            }
        }
    }

    /**
     * The factors for steps that record nothing. They stay where they are, for captured graphs to read, and are made anew only when
     * a factor or the magnitude has changed.
     *
     * @param sum as in {@link #of}
     * @param type as in {@link #of}
     */
    synchronized Stretch kept(Linear base, LoraLayer layer, Tensor magnitude, Supplier<Tensor> sum, ScalarType type) {
        long version = layer.a()._version() + layer.b()._version() + magnitude._version();
        Stretch known = stretch;
        if (known != null && version == stretchVersion && base == stretchedBase && base.frozen() != null) {
            return known;
        }
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor factors = magnitude.detach().div(of(base, layer, sum, type)); // (out)
            Tensor bias = base.bias();
            Tensor left = bias == null
                    ? null
                    : Tensors.as(bias, ScalarType.Float).mul(factors.neg().add_(new Scalar(1)));
            if (known == null) {
                known = new Stretch(scope.release(factors), left == null ? null : scope.release(left));
            } else {
                known.factors().copy_(factors);
                if (known.bias() != null && left != null) {
                    known.bias().copy_(left);
                }
            }
            // A number that is read has waited for what was asked before: others read it on streams of their own.
            Tensors.toFloats(known.factors().narrow(0, 0, 1));
            stretch = known;
            stretchVersion = version;
            stretchedBase = base;
            return known;
        }
    }

    private static Tensor squares(Tensor rows) {
        return rows.pow(new Scalar(2)).sum(1);
    }

    /** ‖w‖² of the rows of the base's weight, what is subtracted from it included. */
    private synchronized Tensor squaresOf(Linear base, LoraLayer layer) {
        if (squares == null || known != base) {
            forgetSquares();
            try (TensorScope scope = new TensorScope()) {
                Tensor weight = base.denseWeight();
                LoraLayer.Factors subtracted = layer.subtracted();
                if (subtracted != null) {
                    weight.sub_(torch.mm(subtracted.b(), subtracted.a()), new Scalar(layer.scale()));
                }
                squares = scope.release(squares(weight));
                known = base;
            }
        }
        return squares;
    }

    private static Tensor expanded(FrozenMatmul weight, Tensor squares, LoraLayer layer, ScalarType type) {
        Scalar scale = new Scalar(layer.scale());
        Tensor a = layer.a().detach(); // (r, in)
        Tensor b = layer.b().detach(); // (out, r)
        Tensor product = Tensors.zeros(Tensors.deviceOf(b), type, a.size(0), b.size(0)); // A Wᵀ, (r, out)
        weight.addForward(product, layer.a(type).detach());
        Tensor inner = Tensors.as(product, ScalarType.Float).t(); // (out, r)
        LoraLayer.Factors subtracted = layer.subtracted();
        if (subtracted != null) {
            inner = inner.sub(torch.mm(subtracted.b(), torch.mm(subtracted.a(), a.t())), scale);
        }
        Tensor gram = torch.mm(a, a.t()).mul(scale); // (r, r)
        Tensor both = torch.addmm(inner.mul(new Scalar(2)), b, gram); // 2 W Aᵀ + s B A Aᵀ
        return squares.add(both.mul(b).sum(1), scale);
    }

    @Override
    public synchronized void close() {
        forgetSquares();
        if (stretch != null) {
            stretch.close();
            stretch = null;
        }
    }

    private void forgetSquares() {
        if (squares != null) {
            squares.close();
            squares = null;
        }
    }
}
