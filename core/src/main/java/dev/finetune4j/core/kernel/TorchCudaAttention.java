package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Dispatcher;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * On a CUDA GPU by the kernels that libtorch brings, in bfloat16: cuDNN's where libtorch prefers it for whole rows, FlashAttention
 * 2 (<a href="https://arxiv.org/abs/2307.08691">Dao 2023</a>) for windows and packed rows, whose places it reads from the device,
 * so that a captured CUDA graph serves any other lengths that are copied there.
 *
 * @param spec without a bound on the scores
 */
record TorchCudaAttention(AttentionSpec spec) implements SequenceAttention {
    private static final int MAX_HEAD_SIZE = 256;
    private static final int HEAD_MULTIPLE = 8;
    /** libtorch's number of cuDNN among the ways of attention. */
    private static final long CUDNN = 3;
    /** Logarithms and what stands for the generator of dropout, if there is any. */
    private static final int FLASH_KEPT = 3;

    static boolean supports(AttentionSpec spec) {
        return spec.softCap() == 0 && spec.headDim() % HEAD_MULTIPLE == 0 && spec.headDim() <= MAX_HEAD_SIZE;
    }

    @Override
    public boolean readsStarts() {
        return true;
    }

    @Override
    public boolean readsSharedKeys() {
        return true;
    }

    @Override
    public Mixed forward(Tensor qkv, @Nullable Bounds packed, boolean recorded) {
        try (TensorScope scope = new TensorScope()) {
            Mixed mixed = isCudnns(qkv, packed) ? cudnn(qkv, recorded) : flash(qkv, packed);
            scope.keep(mixed.y());
            mixed.kept().forEach(scope::keep);
            return mixed;
        }
    }

    @Override
    public Gradients backward(Tensor qkv, @Nullable Bounds packed, Mixed mixed, Tensor gradient) {
        try (TensorScope scope = new TensorScope()) {
            Gradients all = isCudnns(qkv, packed)
                    ? cudnnBackward(qkv, mixed, gradient)
                    : flashBackward(qkv, packed, mixed, gradient);
            scope.keep(all.queries());
            scope.keep(all.keys());
            scope.keep(all.values());
            return all;
        }
    }

    private static IValueVector call(String operator, IValue... arguments) {
        OperatorHandle handle = Dispatcher.singleton().findSchemaOrThrow("aten::" + operator, "");
        IValueVector stack = new IValueVector(arguments);
        handle.callBoxed(stack);
        return stack;
    }

    /** A result of an operator in a handle of its own: that of the stack ends with it. */
    private static Tensor result(IValueVector stack, long index) {
        return new Tensor(stack.get(index).toTensor());
    }

    private static IValue none() {
        return new IValue();
    }

    /** (B, T, n, head size) as (B, n, T, head size). */
    private static Tensor turned(Tensor x) {
        return x.transpose(1, 2);
    }

    /** Whether libtorch takes cuDNN for this; the same in both passes. */
    private boolean isCudnns(Tensor qkv, @Nullable Bounds packed) {
        boolean windowed = spec.window() > 0 && spec.window() < qkv.size(1);
        if (packed != null || windowed) {
            return false;
        }
        Gradients parts = SequenceAttention.split(spec, qkv);
        IValueVector stack = call(
                "_fused_sdp_choice",
                new IValue(turned(parts.queries()).detach().set_requires_grad(true)),
                new IValue(turned(parts.keys()).detach().set_requires_grad(true)),
                new IValue(turned(parts.values()).detach().set_requires_grad(true)),
                none(),
                new IValue(0.0),
                new IValue(true),
                new IValue(spec.scale()),
                new IValue(spec.heads() != spec.kvHeads()));
        return stack.get(0).toInt() == CUDNN;
    }

    private Mixed cudnn(Tensor qkv, boolean recorded) {
        Gradients parts = SequenceAttention.split(spec, qkv);
        IValueVector stack = call(
                "_scaled_dot_product_cudnn_attention",
                new IValue(turned(parts.queries())),
                new IValue(turned(parts.keys())),
                new IValue(turned(parts.values())),
                none(), // no bias
                new IValue(recorded),
                new IValue(0.0), // dropout
                new IValue(true), // causal
                new IValue(false), // no mask returned for debugging
                new IValue(spec.scale()));
        Tensor y = turned(result(stack, 0)).contiguous().flatten(2, 3);
        List<Tensor> kept = new ArrayList<>();
        if (recorded) {
            // output, logarithms, cum_seq_q, cum_seq_k, max_q, max_k, seed, offset, mask
            kept.add(result(stack, 1));
            kept.add(result(stack, 6));
            kept.add(result(stack, 7));
        }
        return new Mixed(y, kept);
    }

    private Gradients cudnnBackward(Tensor qkv, Mixed mixed, Tensor gradient) {
        Gradients parts = SequenceAttention.split(spec, qkv);
        IValueVector stack = call(
                "_scaled_dot_product_cudnn_attention_backward",
                new IValue(turned(heads(gradient))),
                new IValue(turned(parts.queries())),
                new IValue(turned(parts.keys())),
                new IValue(turned(parts.values())),
                new IValue(turned(heads(mixed.y()))),
                new IValue(mixed.kept().get(0)),
                new IValue(mixed.kept().get(1)),
                new IValue(mixed.kept().get(2)),
                new IValue(new Tensor()), // no bias
                new IValue(new Tensor()), // not packed
                new IValue(new Tensor()),
                new IValue(qkv.size(1)),
                new IValue(qkv.size(1)),
                new IValue(0.0),
                new IValue(true),
                new IValue(spec.scale()));
        return new Gradients(turned(result(stack, 0)), turned(result(stack, 1)), turned(result(stack, 2)), null);
    }

    /** (B, T, heads · head size) as (B, T, heads, head size). */
    private Tensor heads(Tensor y) {
        return y.view(y.size(0), y.size(1), spec.heads(), spec.headDim());
    }

    /** Of a packed row without the batch. */
    private static IValue rows(Tensor x, @Nullable Bounds packed) {
        return new IValue(packed == null ? x : x.select(0, 0));
    }

    private static IValue starts(@Nullable Bounds packed) {
        return packed == null ? none() : new IValue(packed.starts());
    }

    private static @Nullable SharedKeys shared(@Nullable Bounds packed) {
        return packed == null ? null : packed.shared();
    }

    /** With the keys and values that queries look at, which are more than there are positions where prefixes are shared. */
    private Gradients looked(Gradients parts, Tensor qkv, @Nullable Bounds packed) {
        SharedKeys shared = shared(packed);
        if (shared == null) {
            return parts;
        }
        long size = spec.headDim();
        Tensor both = shared.gather(qkv.view(1, qkv.size(1), spec.heads() + 2L * spec.kvHeads(), size)
                .narrow(2, spec.heads(), 2L * spec.kvHeads()));
        return new Gradients(
                parts.queries(),
                both.narrow(2, 0, spec.kvHeads()),
                both.narrow(2, spec.kvHeads(), spec.kvHeads()),
                null);
    }

    private IValue before() {
        return spec.window() == 0 ? none() : new IValue(spec.window() - 1L);
    }

    private IValue behind() {
        return spec.window() == 0 ? none() : new IValue(0L);
    }

    private Mixed flash(Tensor qkv, @Nullable Bounds packed) {
        Gradients parts = looked(SequenceAttention.split(spec, qkv), qkv, packed);
        SharedKeys shared = shared(packed);
        // Of packed rows an upper bound of the lengths, the same for all of a graph.
        long longest = qkv.size(1);
        IValueVector stack = call(
                "_flash_attention_forward",
                rows(parts.queries(), packed),
                rows(parts.keys(), packed),
                rows(parts.values(), packed),
                starts(packed),
                shared == null ? starts(packed) : new IValue(shared.starts()),
                new IValue(longest),
                new IValue(longest),
                new IValue(0.0), // dropout
                new IValue(true), // causal
                new IValue(false), // no mask returned for debugging
                new IValue(spec.scale()),
                before(),
                behind(),
                none(),
                none());
        Tensor y = result(stack, 0).view(qkv.size(0), qkv.size(1), (long) spec.heads() * spec.headDim());
        // output, logarithms, state of the generator, nothing, mask
        List<Tensor> kept = new ArrayList<>();
        for (int i = 1; i <= FLASH_KEPT; i++) {
            Tensor part = result(stack, i);
            if (part.defined()) {
                kept.add(part);
            }
        }
        return new Mixed(y, kept);
    }

    private Gradients flashBackward(Tensor qkv, @Nullable Bounds packed, Mixed mixed, Tensor gradient) {
        Gradients parts = looked(SequenceAttention.split(spec, qkv), qkv, packed);
        SharedKeys shared = shared(packed);
        IValue places = packed == null ? new IValue(new Tensor()) : new IValue(packed.starts());
        IValueVector stack = call(
                "_flash_attention_backward",
                rows(heads(gradient), packed),
                rows(parts.queries(), packed),
                rows(parts.keys(), packed),
                rows(parts.values(), packed),
                rows(heads(mixed.y()), packed),
                new IValue(mixed.kept().get(0)),
                places,
                shared == null ? places : new IValue(shared.starts()),
                new IValue(qkv.size(1)),
                new IValue(qkv.size(1)),
                new IValue(0.0),
                new IValue(true),
                kept(mixed, 1),
                kept(mixed, 2),
                new IValue(spec.scale()),
                before(),
                behind());
        return new Gradients(
                batch(result(stack, 0), packed), keys(result(stack, 1), packed), keys(result(stack, 2), packed), null);
    }

    private static Tensor keys(Tensor gradient, @Nullable Bounds packed) {
        SharedKeys shared = shared(packed);
        return shared == null ? batch(gradient, packed) : shared.fold(gradient);
    }

    private static IValue kept(Mixed mixed, int index) {
        return new IValue(index < mixed.kept().size() ? mixed.kept().get(index) : new Tensor());
    }

    private static Tensor batch(Tensor x, @Nullable Bounds packed) {
        return packed == null ? x : x.unsqueeze(0);
    }
}
