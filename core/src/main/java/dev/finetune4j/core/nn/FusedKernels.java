package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.Elementwise;
import dev.finetune4j.core.kernel.HeadKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The element-wise parts of a decoder by kernels of our own ({@link Elementwise}), on a CUDA GPU and on a CPU: each is one
 * pass where libtorch's operations would be five to ten, and keeps for the backward pass only what it must. In float32 and
 * bfloat16; elsewhere, and where a shape does not fit into vectors of eight, libtorch computes.
 */
final class FusedKernels implements LayerKernels {
    private static final int VECTOR_WIDTH = 8;

    private final Elementwise kernels;

    /** @param kernels of the device and the type of the tensors */
    FusedKernels(Elementwise kernels) {
        this.kernels = kernels;
    }

    /** Contiguous, and where 16 bytes at a time may be read. */
    private static Tensor dense(Tensor x) {
        Tensor whole = x.contiguous();
        return whole.storage_offset() % VECTOR_WIDTH == 0 ? whole : whole.clone();
    }

    private static boolean supportsNorm(Tensor x, RmsNorm norm) {
        Tensor weight = norm.weight();
        return !norm.centered()
                && weight.dim() == 1
                && Tensors.typeOf(weight) == Tensors.typeOf(x)
                && !weight.requires_grad()
                && weight.numel() % VECTOR_WIDTH == 0;
    }

    @Override
    public Tensor norm(Tensor x, RmsNorm norm) {
        return supportsNorm(x, norm) ? rmsNorm(x, norm, null).tensor() : TorchLayerKernels.INSTANCE.norm(x, norm);
    }

    @Override
    public ResidualStream.Branch branch(Tensor x, RmsNorm norm) {
        if (!GradMode.is_enabled() || !x.requires_grad() || !supportsNorm(x, norm)) {
            return new ResidualStream.Branch(x, new HiddenStates(norm(x, norm), null), null);
        }
        ResidualStream.SkipGradient skip = new ResidualStream.SkipGradient();
        return new ResidualStream.Branch(x, rmsNorm(x, norm, skip), skip);
    }

    @Override
    public ResidualStream.Branch branchOfSum(
            Tensor x, Tensor end, ResidualStream.@Nullable SkipGradient skip, RmsNorm norm) {
        // Without a skip gradient x must not need one of its own, which libtorch would have to record.
        boolean recorded = skip != null || !GradMode.is_enabled() || !x.requires_grad();
        return recorded && Tensors.typeOf(end) == Tensors.typeOf(x) && supportsNorm(x, norm)
                ? addAndNorm(x, end, skip, norm)
                : branch(ResidualStream.sum(x, end, skip), norm);
    }

    /** The readers of an activation that the backward pass recomputes. */
    private static final class Readers implements RecomputedInput {
        private final List<Consumer<Tensor>> uses = new ArrayList<>();

        @Override
        public void then(Consumer<Tensor> use) {
            uses.add(use);
        }

        boolean wantIt() {
            return !uses.isEmpty();
        }

        void hand(Tensor recomputed) {
            uses.forEach(use -> use.accept(recomputed));
            uses.clear();
        }

        /** Nothing is recomputed when there is no backward pass. */
        @Nullable
        RecomputedInput whenRecorded(Tensor input) {
            return GradMode.is_enabled() && input.requires_grad() ? this : null;
        }
    }

    /**
     * {@link RmsNorm} with a frozen weight; the input and one number for each row are kept. Its readers get the
     * recomputed result in the memory of its gradient.
     */
    private HiddenStates rmsNorm(Tensor input, RmsNorm norm, ResidualStream.@Nullable SkipGradient skip) {
        Tensor weight = norm.weight();
        int width = Math.toIntExact(weight.numel());
        Readers readers = new Readers();
        Tensor result = CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor x = dense(given);
                    long rows = x.numel() / width;
                    Tensor y = Tensors.emptyLike(x);
                    Tensor inverse = Tensors.empty(Tensors.deviceOf(x), ScalarType.Float, rows);
                    kernels.rmsForward(x, weight, y, inverse, (float) norm.epsilon(), norm.unitOffset());
                    saved.keep(x);
                    saved.keep(inverse);
                    return y;
                },
                (gradient, saved) -> {
                    try (TensorScope scope = new TensorScope()) {
                        return scope.keep(normBackward(gradient, norm, skip, readers, saved, scope));
                    }
                });
        return new HiddenStates(result, readers.whenRecorded(input));
    }

    /**
     * The sum of x and a branch and the norm of the sum, on a GPU in one pass.
     *
     * @param around the skip connection along which x gets its gradient; null for none
     */
    private ResidualStream.Branch addAndNorm(
            Tensor x, Tensor branch, ResidualStream.@Nullable SkipGradient around, RmsNorm norm) {
        Tensor weight = norm.weight();
        Readers readers = new Readers();
        ResidualStream.SkipGradient next =
                GradMode.is_enabled() && branch.requires_grad() ? new ResidualStream.SkipGradient() : null;
        Tensor total = Tensors.emptyLike(branch);
        Tensor result = CustomFunction.apply(
                branch,
                (given, saved) -> {
                    Tensor y = Tensors.emptyLike(total);
                    Tensor inverse = Tensors.empty(Tensors.deviceOf(y), ScalarType.Float, y.numel() / weight.numel());
                    kernels.rmsForwardOfSum(
                            dense(x),
                            dense(given),
                            total,
                            weight,
                            y,
                            inverse,
                            (float) norm.epsilon(),
                            norm.unitOffset());
                    saved.keep(total);
                    saved.keep(inverse);
                    return y;
                },
                (gradient, saved) -> {
                    try (TensorScope scope = new TensorScope()) {
                        Tensor dx = normBackward(gradient, norm, next, readers, saved, scope);
                        if (around != null) {
                            around.put(dx);
                        }
                        return scope.keep(dx);
                    }
                });
        return new ResidualStream.Branch(total, new HiddenStates(result, readers.whenRecorded(branch)), next);
    }

    private Tensor normBackward(
            Tensor gradient,
            RmsNorm norm,
            ResidualStream.@Nullable SkipGradient skip,
            Readers readers,
            CustomFunction.Saved saved,
            TensorScope scope) {
        Tensor dy = dense(gradient);
        Tensor x = saved.get(0);
        Tensor past = skip == null ? null : dense(skip.take(scope));
        Tensor y = readers.wantIt() ? dy : null;
        Tensor dx = Tensors.emptyLike(x);
        kernels.rmsBackward(dy, x, norm.weight(), saved.get(1), past, dx, y, norm.unitOffset());
        readers.hand(dy);
        return dx;
    }

    @Override
    public HiddenStates gated(Activation activation, ProjectionGroup gateAndUp, HiddenStates x) {
        if (!kernels.supports(activation) || !(kernels.copiesCheaply() || gateAndUp.isConcatenated(x.tensor()))) {
            return TorchLayerKernels.INSTANCE.gated(activation, gateAndUp, x);
        }
        return gated(activation, gateAndUp.concatenated(x)); // (B, T, 2 · inner)
    }

    /** {@inheritDoc} Its gradient takes its place in memory, and the result that of its own gradient for its readers. */
    @Override
    public HiddenStates gated(Activation activation, Tensor input) {
        if (!kernels.supports(activation) || input.size(-1) % (2 * VECTOR_WIDTH) != 0) {
            return TorchLayerKernels.INSTANCE.gated(activation, input);
        }
        Readers readers = new Readers();
        Tensor result = CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor both = dense(given);
                    saved.keep(both);
                    return gatedForward(activation, both);
                },
                (gradient, saved) -> {
                    Tensor both = saved.get(0);
                    Tensor dy = dense(gradient);
                    kernels.gatedBackward(activation, dy, both, readers.wantIt() ? dy : null);
                    readers.hand(dy);
                    return both.detach();
                });
        return new HiddenStates(result, readers.whenRecorded(input));
    }

    private Tensor gatedForward(Activation activation, Tensor both) {
        long[] shape = both.shape();
        shape[shape.length - 1] /= 2;
        Tensor y = Tensors.empty(Tensors.deviceOf(both), Tensors.typeOf(both), shape);
        kernels.gatedForward(activation, both, y);
        return y;
    }

    @Override
    public Tensor rotate(Tensor x, RotaryEmbedding.Angles angles) {
        return supportsAngles(x, angles, x.size(3)) ? rope(x, angles) : TorchLayerKernels.INSTANCE.rotate(x, angles);
    }

    private static boolean supportsAngles(Tensor x, RotaryEmbedding.Angles angles, long size) {
        return !angles.interleaved()
                && angles.areOfAllRows()
                && angles.channels() == size
                && size % (2 * VECTOR_WIDTH) == 0
                && Tensors.typeOf(angles.cos()) == Tensors.typeOf(x);
    }

    /** {@link #rotate}; nothing is kept but the angles. */
    private Tensor rope(Tensor input, RotaryEmbedding.Angles angles) {
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor cos = dense(angles.cos());
                    Tensor sin = dense(angles.sin());
                    saved.keep(cos);
                    saved.keep(sin);
                    return rotate(given, cos, sin, 1);
                },
                (gradient, saved) -> rotate(gradient, saved.get(0), saved.get(1), -1));
    }

    /** (B, heads, T, size) in any layout to the same shape, laid out as (B, T, heads, size). */
    private Tensor rotate(Tensor given, Tensor cos, Tensor sin, float direction) {
        Tensor x = given.stride(3) == 1 && aligned(given) ? given : dense(given);
        Tensor y = Tensors.empty(Tensors.deviceOf(x), Tensors.typeOf(x), x.size(0), x.size(2), x.size(1), x.size(3));
        kernels.rope(x, y, cos, sin, direction);
        return y.transpose(1, 2);
    }

    @Override
    public Tensor[] rotatedHeads(Tensor joint, Attention.Shape shape, RotaryEmbedding.Angles angles) {
        return rotatesInPlace(joint, shape, angles)
                ? shape.heads(shape.split(ropeInPlace(joint, shape.heads() + shape.kvHeads(), angles)))
                : TorchLayerKernels.INSTANCE.rotatedHeads(joint, shape, angles);
    }

    @Override
    public Tensor attend(
            Tensor joint,
            Attention.Shape shape,
            Attention.@Nullable HeadNorms norms,
            RotaryEmbedding.Angles angles,
            FusedAttention attention) {
        if (norms != null && !norms.areOfEachHead(shape)) {
            return attend(norms.concatenated(shape, joint), shape, null, angles, attention);
        }
        Optional<HeadKernels> heads = DeviceKernels.of(joint)
                .heads(Tensors.typeOf(joint))
                .filter(found -> fits(found, joint, shape, norms, angles));
        if (heads.isPresent()) {
            RmsNorm norm = norms == null ? null : norms.query().module();
            HeadKernels.Form form = new HeadKernels.Form(
                    shape.heads(),
                    shape.kvHeads(),
                    shape.headDim(),
                    norm == null ? 0 : (float) norm.epsilon(),
                    norm != null && norm.unitOffset());
            HeadKernels.Angles used =
                    new HeadKernels.Angles(dense(angles.cos()), dense(angles.sin()), angles.interleaved());
            return attention.mix(joint, heads.get(), form, norms, used);
        }
        return norms == null && rotatesInPlace(joint, shape, angles)
                ? attention.mix(ropeInPlace(joint, shape.heads() + shape.kvHeads(), angles))
                : TorchLayerKernels.INSTANCE.attend(joint, shape, norms, angles, attention);
    }

    private static boolean fits(
            HeadKernels heads,
            Tensor joint,
            Attention.Shape shape,
            Attention.@Nullable HeadNorms norms,
            RotaryEmbedding.Angles angles) {
        return angles.areOfAllRows()
                && heads.supports(shape.headDim(), angles.channels())
                && Tensors.typeOf(angles.cos()) == Tensors.typeOf(joint)
                && joint.storage_offset() % VECTOR_WIDTH == 0
                && (norms == null
                        || (norms.areAlike()
                                && supportsNorm(joint, norms.query().module())
                                && supportsNorm(joint, norms.key().module())));
    }

    private static boolean rotatesInPlace(Tensor joint, Attention.Shape shape, RotaryEmbedding.Angles angles) {
        return supportsAngles(joint, angles, shape.headDim())
                && joint.is_contiguous()
                && joint.storage_offset() % VECTOR_WIDTH == 0;
    }

    /**
     * Rotates the first heads of rows (B, T, n) that nobody else reads, in place; nothing is kept but the angles. The gradient is
     * rotated back in place.
     */
    Tensor ropeInPlace(Tensor input, int heads, RotaryEmbedding.Angles angles) {
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor cos = dense(angles.cos());
                    Tensor sin = dense(angles.sin());
                    saved.keep(cos);
                    saved.keep(sin);
                    return rotateInPlace(given.detach(), heads, cos, sin, 1);
                },
                (gradient, saved) -> rotateInPlace(dense(gradient), heads, saved.get(0), saved.get(1), -1));
    }

    private Tensor rotateInPlace(Tensor rows, int heads, Tensor cos, Tensor sin, float direction) {
        kernels.ropeInPlace(rows, heads, cos, sin, direction);
        return rows;
    }

    private static boolean aligned(Tensor x) {
        return x.stride(0) % VECTOR_WIDTH == 0
                && x.stride(1) % VECTOR_WIDTH == 0
                && x.stride(2) % VECTOR_WIDTH == 0
                && x.storage_offset() % VECTOR_WIDTH == 0;
    }
}
