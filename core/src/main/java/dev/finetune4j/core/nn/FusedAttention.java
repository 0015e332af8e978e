package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.HeadKernels;
import dev.finetune4j.core.kernel.SequenceAttention;
import dev.finetune4j.core.kernel.SequenceAttention.Bounds;
import dev.finetune4j.core.kernel.SequenceAttention.Gradients;
import dev.finetune4j.core.kernel.SequenceAttention.Mixed;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Causal attention of whole sequences, with a backward pass of its own, where the device has an implementation that never holds
 * all scores ({@link SequenceAttention}); windows, soft-caps and packed rows included.
 *
 * @param attention of a layer
 * @param bounds the sequences of a packed row; null when each row is one sequence
 * @param kept where the result is kept for a second pass, or was by the first; null where none follows
 */
record FusedAttention(
        SequenceAttention attention,
        @Nullable Bounds bounds,
        @Nullable KeptMix kept) {
    /** That of a layer over tokens before which there are no others; empty where libtorch's operations compute. */
    static Optional<FusedAttention> of(Tensor x, Attention.Shape shape, Attention.Context context) {
        if (context.mask() != null) {
            return Optional.empty();
        }
        PackedSequences packed = context.packed();
        Bounds bounds = packed == null ? null : new Bounds(packed.starts(), packed.lengths(), packed.shared());
        return attention(DeviceKernels.of(x), Tensors.typeOf(x), shape, context.window())
                .map(found -> new FusedAttention(found, bounds, context.kept()));
    }

    /** @throws IllegalArgumentException if sequences share what the attention would have to see once for each */
    FusedAttention {
        if (bounds != null && bounds.shared() != null && !attention.readsSharedKeys()) {
            throw new IllegalArgumentException(
                    "this attention takes no sequences that begin with tokens of others; pack them one by one");
        }
    }

    /** Whether layers need no mask for a window over tokens before which there are no others. */
    static boolean supports(DeviceKernels device, ScalarType type, Attention.Shape shape) {
        return attention(device, type, shape, 0).isPresent();
    }

    private static Optional<SequenceAttention> attention(
            DeviceKernels device, ScalarType type, Attention.Shape shape, int window) {
        // Its backward pass needs a step that owns it.
        return !GradMode.is_enabled() || TensorScope.ofStep() != null
                ? device.attention(shape.spec(window), type)
                : Optional.empty();
    }

    /**
     * Mixes each token with those before it.
     *
     * @param input queries, keys and values behind one another, shape (B, T, …), read by nobody else; its gradient may take its
     *     place
     * @return shape (B, T, heads · head size)
     */
    Tensor mix(Tensor input) {
        boolean recorded = isRecorded(input);
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor qkv = given.contiguous();
                    Mixed mixed = forward(qkv, recorded);
                    saved.keep(qkv);
                    keep(mixed, saved);
                    return mixed.y();
                },
                (gradient, saved) -> {
                    Mixed mixed = saved(saved, 1);
                    Gradients all = attention.backward(saved.get(0), bounds, mixed, gradient.contiguous());
                    return all.concatenated().detach();
                });
    }

    /**
     * The same of queries and keys that are still without their norms and angles.
     *
     * @param kernels do both
     * @param norms frozen; null where there are none
     */
    Tensor mix(
            Tensor input,
            HeadKernels kernels,
            HeadKernels.Form form,
            Attention.@Nullable HeadNorms norms,
            HeadKernels.Angles angles) {
        boolean recorded = isRecorded(input);
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor x = given.contiguous();
                    HeadKernels.@Nullable Norms used = norms == null ? null : norms(norms, inverse(x, form));
                    Tensor qkv = used == null ? x.detach() : Tensors.emptyLike(x);
                    kernels.forward(form, x, qkv, used, angles);
                    Mixed mixed = forward(qkv, recorded);
                    saved.keep(angles.cos());
                    saved.keep(angles.sin());
                    saved.keep(qkv);
                    if (used != null) {
                        saved.keep(x);
                        saved.keep(used.inverse());
                    }
                    keep(mixed, saved);
                    return mixed.y();
                },
                (gradient, saved) -> {
                    HeadKernels.@Nullable Norms used = norms == null ? null : norms(norms, saved.get(4));
                    Tensor qkv = saved.get(2);
                    Mixed mixed = saved(saved, used == null ? 3 : 5);
                    Gradients all = attention.backward(qkv, bounds, mixed, gradient.contiguous());
                    kernels.backward(
                            form,
                            all,
                            used == null ? qkv : saved.get(3),
                            qkv,
                            used,
                            new HeadKernels.Angles(saved.get(0), saved.get(1), angles.interleaved()));
                    return qkv.detach();
                });
    }

    private Mixed forward(Tensor qkv, boolean recorded) {
        return kept == null
                ? attention.forward(qkv, bounds, recorded)
                : kept.take(() -> attention.forward(qkv, bounds, true));
    }

    private static HeadKernels.Norms norms(Attention.HeadNorms norms, Tensor inverse) {
        return new HeadKernels.Norms(
                norms.query().module().weight(), norms.key().module().weight(), inverse);
    }

    private static Tensor inverse(Tensor x, HeadKernels.Form form) {
        return Tensors.empty(
                Tensors.deviceOf(x), ScalarType.Float, x.size(0) * x.size(1), (long) form.heads() + form.kvHeads());
    }

    private static boolean isRecorded(Tensor input) {
        return GradMode.is_enabled() && input.requires_grad();
    }

    private static void keep(Mixed mixed, CustomFunction.Saved saved) {
        saved.keep(mixed.y());
        mixed.kept().forEach(saved::keep);
    }

    /** @param first index of the output among what was kept */
    private static Mixed saved(CustomFunction.Saved saved, int first) {
        List<Tensor> rest = new ArrayList<>();
        for (int i = first + 1; i < saved.size(); i++) {
            rest.add(saved.get(i));
        }
        return new Mixed(saved.get(first), rest);
    }
}
