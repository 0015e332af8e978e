package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.function.Consumer;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** One layer of a decoder: attention and feed-forward, each behind its norm and added to its input. Forward calls may run in several threads at once; closing may not overlap with them. */
public final class DecoderBlock implements AutoCloseable {
    /**
     * The norms around one half of a block.
     *
     * @param before applied to what goes in
     * @param after applied to what comes out, before it is added; null where the model has none
     */
    public record Norms(NamedNorm before, @Nullable NamedNorm after) {
        Norms map(PartMapper mapper) {
            return new Norms(before.map(mapper), after == null ? null : after.map(mapper));
        }

        /** The way around the half, where the norm before it adds the gradient; null where it cannot. */
        FusedKernels.@Nullable Bypass bypass(Tensor x) {
            return FusedKernels.serveBranch(x, before.norm()) ? new FusedKernels.Bypass() : null;
        }

        /** {@code after(half(before(x)))}. */
        Tensor branch(Tensor x, FusedKernels.@Nullable Bypass bypass, Function<Remade, Tensor> half) {
            return leave(half.apply(
                    bypass == null
                            ? new Remade(before.forward(x), null)
                            : before.norm().forward(x, bypass)));
        }

        /** {@code x + after(half(before(x)))}. */
        Tensor around(Tensor x, Function<Remade, Tensor> half) {
            FusedKernels.Bypass bypass = bypass(x);
            Tensor branch = branch(x, bypass, half);
            return bypass == null ? x.add(branch) : FusedKernels.add(x, branch, bypass);
        }

        private Tensor leave(Tensor x) {
            return after == null ? x : after.forward(x);
        }

        void forEach(Consumer<NamedNorm> sink) {
            sink.accept(before);
            if (after != null) {
                sink.accept(after);
            }
        }
    }

    private final Norms attentionNorms;
    private final Attention attention;
    private final Norms mlpNorms;
    private final GatedMlp mlp;

    /** A block of these parts. */
    public DecoderBlock(Norms attentionNorms, Attention attention, Norms mlpNorms, GatedMlp mlp) {
        this.attentionNorms = attentionNorms;
        this.attention = attention;
        this.mlpNorms = mlpNorms;
        this.mlp = mlp;
    }

    /**
     * Runs the block; the handles of everything in between are closed before it returns.
     *
     * @param x shape (B, T, D)
     * @param past the keys and values before these positions, or null when there are none
     * @return shape (B, T, D)
     */
    public Tensor forward(Tensor x, Attention.Context context, @Nullable PastKeys past) {
        return run(x, context, past, false);
    }

    /**
     * Runs the block once more for its backward pass.
     *
     * @return of the shape and with the gradients of {@link #forward}, but perhaps not its values
     */
    public Tensor forwardForGradient(Tensor x, Attention.Context context) {
        return run(x, context, null, mlpNorms.after() == null);
    }

    private Tensor run(Tensor x, Attention.Context context, @Nullable PastKeys past, boolean forGradient) {
        try (TensorScope scope = new TensorScope()) {
            FusedKernels.Bypass around = attentionNorms.bypass(x);
            Tensor attended = attentionNorms.branch(x, around, normed -> attention.forward(normed, context, past));
            RmsNorm norm = mlpNorms.before().norm();
            if (!FusedKernels.serveSum(x, attended, around, norm.weight())) {
                Tensor sum = around == null ? x.add(attended) : FusedKernels.add(x, attended, around);
                return scope.keep(mlpNorms.around(sum, forGradient ? mlp::forwardForGradient : mlp::forward));
            }
            FusedKernels.NormedSum sum = norm.forward(x, attended, around);
            return scope.keep(
                    forGradient
                            ? sum.meet(mlp.forwardForGradient(sum.normed()))
                            : sum.add(mlpNorms.leave(mlp.forward(sum.normed()))));
        }
    }

    /** The same block with each part replaced by what the mapper makes of it. */
    public DecoderBlock map(PartMapper mapper) {
        return new DecoderBlock(
                attentionNorms.map(mapper), attention.map(mapper), mlpNorms.map(mapper), mlp.map(mapper));
    }

    /** Hands over the block's norms, those within attention included, in the order of computation. */
    public void forEachNorm(Consumer<NamedNorm> sink) {
        attentionNorms.forEach(sink);
        attention.forEachNorm(sink);
        mlpNorms.forEach(sink);
    }

    /** Frees the norms; the linears belong to the model. */
    @Override
    public void close() {
        forEachNorm(norm -> norm.norm().close());
    }
}
