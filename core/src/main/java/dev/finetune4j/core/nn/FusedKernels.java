package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.cpu.CpuKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The element-wise parts of a decoder by kernels of our own ({@link Elementwise}), on a CUDA GPU and on a CPU: each is one
 * pass where libtorch's operations would be five to ten, and keeps for the backward pass only what it must. In float32 and
 * bfloat16; elsewhere, and where a shape does not fit into pieces of eight, the plain operations serve.
 */
final class FusedKernels {
    private static final int PIECE = 8;

    private FusedKernels() {}

    /** Whether a tensor is where the kernels run and in a type of theirs. */
    static boolean serve(Tensor x) {
        ScalarType type = Tensors.typeOf(x);
        return (type == ScalarType.BFloat16 || type == ScalarType.Float)
                && (x.is_cuda() || CpuKernels.get().isPresent());
    }

    /** Without gaps, and where 16 bytes at a time may be read. */
    private static Tensor dense(Tensor x) {
        Tensor whole = x.contiguous();
        return whole.storage_offset() % PIECE == 0 ? whole : whole.clone();
    }

    private static Elementwise of(Tensor x) {
        return x.is_cuda()
                ? CudaElementwise.of(Tensors.deviceOf(x), Tensors.typeOf(x))
                : new CpuElementwise(CpuKernels.get().orElseThrow().elements());
    }

    /** Whether {@link #rmsNorm} serves. */
    static boolean serveNorm(Tensor x, Tensor weight) {
        return serve(x)
                && Tensors.typeOf(weight) == Tensors.typeOf(x)
                && !weight.requires_grad()
                && weight.numel() % PIECE == 0;
    }

    /** Those who wait for a result to be brought back. */
    private static final class Waiting implements BroughtBack {
        private final List<Consumer<Tensor>> uses = new ArrayList<>();

        @Override
        public void then(Consumer<Tensor> use) {
            uses.add(use);
        }

        boolean isAnybody() {
            return !uses.isEmpty();
        }

        void bring(Tensor result) {
            uses.forEach(use -> use.accept(result));
            uses.clear();
        }

        /** Nobody brings anything back when there is no backward pass. */
        @Nullable
        BroughtBack whenRecorded(Tensor input) {
            return GradMode.is_enabled() && input.requires_grad() ? this : null;
        }
    }

    /**
     * {@link RmsNorm} with a frozen weight; the input and one number for each row are kept. Who waits for the result gets it
     * in the memory of its gradient.
     */
    static Remade rmsNorm(
            Tensor input,
            Tensor weight,
            double epsilon,
            boolean unitOffset,
            ResidualStream.@Nullable SkipGradient skip) {
        Elementwise kernels = of(input);
        int width = Math.toIntExact(weight.numel());
        Waiting waiting = new Waiting();
        Tensor result = CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor x = dense(given);
                    long rows = x.numel() / width;
                    Tensor y = Tensors.emptyLike(x);
                    Tensor inverse = Tensors.empty(Tensors.deviceOf(x), ScalarType.Float, rows);
                    kernels.rmsForward(x, weight, y, inverse, (float) epsilon, unitOffset);
                    saved.keep(x);
                    saved.keep(inverse);
                    return y;
                },
                (gradient, saved) -> {
                    try (TensorScope scope = new TensorScope()) {
                        return scope.keep(
                                normBackward(kernels, gradient, weight, unitOffset, skip, waiting, saved, scope));
                    }
                });
        return new Remade(result, waiting.whenRecorded(input));
    }

    /**
     * The sum of x and a branch and the norm of the sum, on a GPU in one pass.
     *
     * @param around the skip connection along which x gets its gradient; null for none
     */
    static ResidualStream.NormedSum addAndNorm(
            Tensor x,
            Tensor branch,
            ResidualStream.@Nullable SkipGradient around,
            Tensor weight,
            double epsilon,
            boolean unitOffset) {
        Elementwise kernels = of(branch);
        Waiting waiting = new Waiting();
        ResidualStream.SkipGradient next =
                GradMode.is_enabled() && branch.requires_grad() ? new ResidualStream.SkipGradient() : null;
        Tensor total = Tensors.emptyLike(branch);
        Tensor result = CustomFunction.apply(
                branch,
                (given, saved) -> {
                    Tensor y = Tensors.emptyLike(total);
                    Tensor inverse = Tensors.empty(Tensors.deviceOf(y), ScalarType.Float, y.numel() / weight.numel());
                    kernels.rmsForwardOfSum(
                            dense(x), dense(given), total, weight, y, inverse, (float) epsilon, unitOffset);
                    saved.keep(total);
                    saved.keep(inverse);
                    return y;
                },
                (gradient, saved) -> {
                    try (TensorScope scope = new TensorScope()) {
                        Tensor dx = normBackward(kernels, gradient, weight, unitOffset, next, waiting, saved, scope);
                        if (around != null) {
                            around.put(dx);
                        }
                        return scope.keep(dx);
                    }
                });
        return new ResidualStream.NormedSum(total, new Remade(result, waiting.whenRecorded(branch)), next);
    }

    private static Tensor normBackward(
            Elementwise kernels,
            Tensor gradient,
            Tensor weight,
            boolean unitOffset,
            ResidualStream.@Nullable SkipGradient skip,
            Waiting waiting,
            CustomFunction.Saved saved,
            TensorScope scope) {
        Tensor dy = dense(gradient);
        Tensor x = saved.get(0);
        Tensor past = skip == null ? null : dense(skip.take(scope));
        Tensor y = waiting.isAnybody() ? dy : null;
        Tensor dx = Tensors.emptyLike(x);
        kernels.rmsBackward(dy, x, weight, saved.get(1), past, dx, y, unitOffset);
        waiting.bring(dy);
        return dx;
    }

    /** Whether {@link #gated} may serve for what becomes of a tensor, if its width is right. */
    static boolean serveGate(Activation activation, Tensor x) {
        return serve(x) && (activation == Activation.SILU || x.is_cuda());
    }

    /** Whether {@link #gated} serves for halves of this width. */
    static boolean serveGated(Activation activation, Tensor both) {
        return serveGate(activation, both) && both.size(-1) % (2 * PIECE) == 0;
    }

    /**
     * {@code act(gate) · up} of a tensor (…, 2 · width) that nobody else reads, gate first. Its gradient takes its place in
     * memory, and the result that of its own gradient for those who wait for it.
     */
    static Remade gated(Activation activation, Tensor input) {
        Elementwise kernels = of(input);
        Waiting waiting = new Waiting();
        Tensor result = CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor both = dense(given);
                    saved.keep(both);
                    return gated(kernels, activation, both);
                },
                (gradient, saved) -> {
                    Tensor both = saved.get(0);
                    Tensor dy = dense(gradient);
                    kernels.gatedBackward(activation, dy, both, waiting.isAnybody() ? dy : null);
                    waiting.bring(dy);
                    return both.detach();
                });
        return new Remade(result, waiting.whenRecorded(input));
    }

    private static Tensor gated(Elementwise kernels, Activation activation, Tensor both) {
        long[] shape = both.shape();
        shape[shape.length - 1] /= 2;
        Tensor y = Tensors.empty(Tensors.deviceOf(both), Tensors.typeOf(both), shape);
        kernels.gatedForward(activation, both, y);
        return y;
    }

    /** Whether {@link #rope} serves. */
    static boolean serveRope(Tensor x, RotaryEmbedding.Angles angles) {
        return serve(x)
                && angles.cos().size(1) == x.size(3)
                && x.size(3) % (2 * PIECE) == 0
                && Tensors.typeOf(angles.cos()) == Tensors.typeOf(x);
    }

    /** {@link RotaryEmbedding#rotate}; nothing is kept but the angles. */
    static Tensor rope(Tensor input, RotaryEmbedding.Angles angles) {
        Elementwise kernels = of(input);
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor cos = dense(angles.cos());
                    Tensor sin = dense(angles.sin());
                    saved.keep(cos);
                    saved.keep(sin);
                    return turn(kernels, given, cos, sin, 1);
                },
                (gradient, saved) -> turn(kernels, gradient, saved.get(0), saved.get(1), -1));
    }

    /** (B, heads, T, size) in any layout to the same shape, laid out as (B, T, heads, size). */
    private static Tensor turn(Elementwise kernels, Tensor given, Tensor cos, Tensor sin, float direction) {
        Tensor x = given.stride(3) == 1 && aligned(given) ? given : dense(given);
        Tensor y = Tensors.empty(Tensors.deviceOf(x), Tensors.typeOf(x), x.size(0), x.size(2), x.size(1), x.size(3));
        kernels.rope(x, y, cos, sin, direction);
        return y.transpose(1, 2);
    }

    /** Whether {@link #ropeInPlace} serves for heads of this size behind one another. */
    static boolean serveJointRope(Tensor joint, RotaryEmbedding.Angles angles, int size) {
        return serve(joint)
                && joint.is_contiguous()
                && joint.storage_offset() % PIECE == 0
                && angles.cos().size(1) == size
                && size % (2 * PIECE) == 0
                && Tensors.typeOf(angles.cos()) == Tensors.typeOf(joint);
    }

    /**
     * Turns the first heads of rows (B, T, n) that nobody else reads, in their place; nothing is kept but the angles. The
     * gradient is turned back in its place.
     */
    static Tensor ropeInPlace(Tensor input, int heads, RotaryEmbedding.Angles angles) {
        Elementwise kernels = of(input);
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor cos = dense(angles.cos());
                    Tensor sin = dense(angles.sin());
                    saved.keep(cos);
                    saved.keep(sin);
                    return turnInPlace(kernels, given.detach(), heads, cos, sin, 1);
                },
                (gradient, saved) -> turnInPlace(kernels, dense(gradient), heads, saved.get(0), saved.get(1), -1));
    }

    private static Tensor turnInPlace(
            Elementwise kernels, Tensor rows, int heads, Tensor cos, Tensor sin, float direction) {
        kernels.ropeInPlace(rows, heads, cos, sin, direction);
        return rows;
    }

    private static boolean aligned(Tensor x) {
        return x.stride(0) % PIECE == 0
                && x.stride(1) % PIECE == 0
                && x.stride(2) % PIECE == 0
                && x.storage_offset() % PIECE == 0;
    }
}
