package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The residual stream of a decoder, {@code x ← x + branch(norm(x))}
 * (<a href="https://arxiv.org/abs/2002.04745">Xiong et al. 2020</a>): {@link #normed} or {@link #plain} begins a branch, {@link #add} ends it.
 *
 * <p>Two things are saved behind these calls where the kernels allow it. A sum is taken only when somebody reads it, so that
 * the next norm takes it in the same pass over memory. And the gradient of the skip connection is not added by libtorch:
 * the backward pass of the branch's norm, which writes the gradient of x anyway, adds it ({@link SkipGradient}).
 *
 * <p>For one pass of one thread.
 */
public final class ResidualStream {
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
     * The beginning of a branch.
     *
     * @param total what flows beside it
     * @param normed the norm of it
     * @param skip gets the gradient of {@code total} from the end of the branch; null when libtorch takes it
     */
    record Branch(
            Tensor total, HiddenStates normed, @Nullable SkipGradient skip) {}

    private Tensor x;
    private @Nullable Tensor branch;
    private @Nullable SkipGradient skip;
    /** Handles that no scope owns, until the sum of both is read. */
    private final List<Tensor> taken = new ArrayList<>();

    /** @param x what flows in, shape (…, D) */
    public ResidualStream(Tensor x) {
        this.x = x;
    }

    /** Takes what flows on out of a scope; it is freed when somebody has read it. */
    void take(TensorScope scope) {
        taken.add(scope.release(x));
        if (branch != null) {
            taken.add(scope.release(branch));
        }
    }

    /** Frees what was summed up. */
    private void freeTaken(TensorScope scope) {
        taken.forEach(scope::adopt);
        taken.clear();
    }

    /** Goes on with another tensor. */
    void replace(Tensor other) {
        x = other;
        branch = null;
        skip = null;
    }

    /** The norm of the stream, with which a branch begins. */
    HiddenStates normed(RmsNorm norm) {
        LayerKernels kernels = LayerKernels.of(x);
        try (TensorScope scope = new TensorScope()) {
            Branch begun = branch == null ? kernels.branch(x, norm) : kernels.branchOfSum(x, branch, skip, norm);
            if (branch != null) {
                scope.keep(begun.total());
                freeTaken(scope);
            }
            scope.keep(begun.normed().tensor());
            x = begun.total();
            branch = null;
            skip = begun.skip();
            return begun.normed();
        }
    }

    /** The stream itself, with which a branch without a norm begins. */
    HiddenStates plain() {
        replace(value());
        return HiddenStates.of(x);
    }

    /** Adds what became of the norm, which ends the branch. */
    void add(Tensor end) {
        branch = end;
    }

    /** The stream with all branches. */
    public Tensor value() {
        try (TensorScope scope = new TensorScope()) {
            if (branch == null) {
                return taken.remove(x) ? scope.keep(scope.adopt(x)) : x;
            }
            Tensor sum = scope.keep(sum(x, branch, skip));
            freeTaken(scope);
            return sum;
        }
    }

    /** A tensor of the shape and with the gradients of {@link #value}, but perhaps not its values, where only the backward pass matters. */
    Tensor gradientPath() {
        return branch == null ? x : end(branch, skip, Tensor::detach, added -> x.add(added));
    }

    /** {@code x + end}, the end of a branch. */
    static Tensor sum(Tensor x, Tensor end, @Nullable SkipGradient skip) {
        return end(end, skip, added -> added.add(x), x::add);
    }

    /** With a skip gradient x gets its own there, and only the branch is recorded. */
    private static Tensor end(
            Tensor branch, @Nullable SkipGradient skip, UnaryOperator<Tensor> beside, UnaryOperator<Tensor> recorded) {
        if (skip == null) {
            return recorded.apply(branch);
        }
        return CustomFunction.apply(branch, beside, gradient -> {
            skip.put(gradient);
            return gradient;
        });
    }
}
