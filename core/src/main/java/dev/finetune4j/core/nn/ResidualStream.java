package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Objects;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The residual stream of a pre-norm decoder, {@code x ← x + branch(norm(x))}
 * (<a href="https://arxiv.org/abs/2002.04745">Xiong et al. 2020</a>): {@link #normed} begins a branch, {@link #add} ends it.
 *
 * <p>Two things are saved behind these calls where the kernels allow it. A sum is taken only when somebody reads it, so that
 * the next norm takes it in the same pass over memory. And the gradient of the skip connection is not added by libtorch:
 * the backward pass of the branch's norm, which writes the gradient of x anyway, adds it ({@link SkipGradient}).
 *
 * <p>For one pass of one thread.
 */
final class ResidualStream {
    /** The gradient that goes along a skip connection, from the end of the branch to the norm that it begins with. */
    static final class SkipGradient {
        private @Nullable Tensor gradient;

        void put(Tensor passing) {
            try (TensorScope scope = new TensorScope()) {
                gradient = scope.release(passing.detach());
            }
        }

        /** The gradient, which now belongs to the scope of the caller. */
        Tensor take(TensorScope scope) {
            Tensor taken = scope.adopt(Objects.requireNonNull(gradient));
            gradient = null;
            return taken;
        }
    }

    /**
     * A sum and its norm in one pass.
     *
     * @param total {@code x + branch}; its gradient goes along the next skip connection and through the norm
     * @param normed the norm of it
     * @param skip that of the branch which begins with the norm; null when no gradient is recorded
     */
    record NormedSum(Tensor total, Remade normed, @Nullable SkipGradient skip) {}

    private Tensor x;
    private @Nullable Tensor branch;
    private @Nullable SkipGradient skip;

    /** @param x what flows in, shape (…, D) */
    ResidualStream(Tensor x) {
        this.x = x;
    }

    /** The norm of the stream, with which a branch begins. */
    Remade normed(RmsNorm norm) {
        if (branch != null && servesNormedSum(norm)) {
            NormedSum sum = norm.forward(x, branch, skip);
            x = sum.total();
            branch = null;
            skip = sum.skip();
            return sum.normed();
        }
        x = value();
        skip = GradMode.is_enabled() && x.requires_grad() && FusedKernels.serveNorm(x, norm.weight())
                ? new SkipGradient()
                : null;
        return skip == null ? new Remade(norm.forward(x), null) : norm.forward(x, skip);
    }

    /** Without a skip gradient x must not need one of its own, which libtorch would have to record. */
    private boolean servesNormedSum(RmsNorm norm) {
        Tensor added = Objects.requireNonNull(branch);
        return FusedKernels.serveNorm(added, norm.weight())
                && Tensors.typeOf(x) == Tensors.typeOf(added)
                && (skip != null || !GradMode.is_enabled() || !x.requires_grad());
    }

    /** Adds what became of the norm, which ends the branch. */
    void add(Tensor end) {
        branch = end;
    }

    /** The stream with all branches. */
    Tensor value() {
        return joined(end -> x.add(end), end -> end.add(x));
    }

    /** A tensor of the shape and with the gradients of {@link #value}, but perhaps not its values, where only the backward pass matters. */
    Tensor gradientPath() {
        return joined(end -> x.add(end), Tensor::detach);
    }

    private Tensor joined(UnaryOperator<Tensor> recorded, UnaryOperator<Tensor> beside) {
        Tensor end = branch;
        if (end == null) {
            return x;
        }
        SkipGradient along = skip;
        Tensor sum = along == null
                ? recorded.apply(end)
                : CustomFunction.apply(end, beside, gradient -> {
                    along.put(gradient);
                    return gradient;
                });
        x = sum;
        branch = null;
        skip = null;
        return sum;
    }
}
