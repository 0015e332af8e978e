package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.function.Consumer;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * One layer of a decoder, {@code x += attention(norm(x)); x += mlp(norm(x))}, with norms before its halves, behind them or around
 * them; or with parallel halves, {@code x += attention(norm(x)) + mlp(norm(x))} (<a href="https://arxiv.org/abs/2204.02311">Chowdhery et
 * al. 2022</a>).
 */
public final class DecoderBlock implements AutoCloseable {
    /**
     * The norms around one half of a block.
     *
     * @param before applied to what goes in; null where the model has none
     * @param after applied to what comes out, before it is added; null where the model has none
     * @param multiplier factor on what is added
     */
    public record Norms(
            @Nullable Named<RmsNorm> before, @Nullable Named<RmsNorm> after, double multiplier) {
        /** What goes into the half. */
        HiddenStates begin(ResidualStream stream) {
            return before == null ? stream.plain() : stream.normed(before.module());
        }

        /** What the half gave, normalised where the model does so, as it is added. */
        Tensor post(Tensor half) {
            return multiplied(after == null ? half : after.module().forward(half));
        }

        private Tensor multiplied(Tensor half) {
            return multiplier == 1 ? half : half.mul(new Scalar(multiplier));
        }

        Norms map(ModuleTransform transform) {
            return new Norms(
                    before == null ? null : before.map(transform::norm),
                    after == null ? null : after.map(transform::norm),
                    multiplier);
        }

        void forEach(Consumer<Named<RmsNorm>> sink) {
            if (before != null) {
                sink.accept(before);
            }
            if (after != null) {
                sink.accept(after);
            }
        }
    }

    private final Norms attentionNorms;
    private final Attention attention;
    private final Norms mlpNorms;
    private final FeedForward mlp;
    private final boolean parallel;

    /** A block of these parts. */
    public DecoderBlock(Norms attentionNorms, Attention attention, Norms mlpNorms, FeedForward mlp) {
        this(attentionNorms, attention, mlpNorms, mlp, false);
    }

    /**
     * @param parallel whether the second half takes what the first one takes, by the norm before that
     */
    public DecoderBlock(Norms attentionNorms, Attention attention, Norms mlpNorms, FeedForward mlp, boolean parallel) {
        this.attentionNorms = attentionNorms;
        this.attention = attention;
        this.mlpNorms = mlpNorms;
        this.mlp = mlp;
        this.parallel = parallel;
    }

    /**
     * Runs the block; the handles of everything in between are closed before it returns.
     *
     * @param x shape (B, T, D)
     * @param past the keys and values before these positions, or null when there are none
     * @return shape (B, T, D)
     */
    public Tensor forward(Tensor x, Attention.Context context, @Nullable KvStore past) {
        try (TensorScope scope = new TensorScope()) {
            ResidualStream s = new ResidualStream(x);
            forward(s, context, past);
            return scope.keep(s.value());
        }
    }

    /**
     * The same on a stream, whose last sum the next reader takes.
     *
     * @param s shape (B, T, D)
     */
    public void forward(ResidualStream s, Attention.Context context, @Nullable KvStore past) {
        try (TensorScope scope = new TensorScope()) {
            HiddenStates input = attentionNorms.begin(s);
            Tensor mixed = attentionNorms.post(attention.forward(input, context, past));
            if (parallel) {
                s.add(mixed.add(beside(input, context.balance())));
                s.replace(s.value()); // what flowed in is not this block's to give away
                s.take(scope);
                return;
            }
            s.add(mixed);
            if (!GradMode.is_enabled() && TokenSlices.areSeveral(mixed)) {
                s.replace(TokenSlices.forward(s.value(), part -> withMlp(part, context.balance())));
            } else {
                s.add(mlpBranch(s, context.balance()));
            }
            s.take(scope);
        }
    }

    /**
     * Runs the block where its activations are not to be kept but it comes first in the backward pass, so that it is not run once
     * more as a whole: of a long context the second half is recomputed.
     */
    public Tensor forwardOfLast(Tensor x, Attention.Context context) {
        if (!TokenSlices.areSeveral(x)) {
            return forward(x, context, null);
        }
        try (TensorScope scope = new TensorScope()) {
            ResidualStream s = new ResidualStream(x);
            s.add(attentionNorms.post(attention.forward(attentionNorms.begin(s), context, null)));
            RouterBalance balance = context.balance();
            if (parallel) {
                Tensor fed = TokenSlices.recomputed(
                        x, part -> normedMlp(part, balance), part -> normedMlpForGradient(part, balance));
                return scope.keep(s.value().add(fed));
            }
            return scope.keep(TokenSlices.recomputed(
                    s.value(), part -> withMlp(part, balance), part -> withMlpForGradient(part, balance)));
        }
    }

    private Tensor mlpBranch(ResidualStream s, @Nullable RouterBalance balance) {
        return fed(mlpNorms.begin(s), balance);
    }

    private Tensor mlpBranchForGradient(ResidualStream s, @Nullable RouterBalance balance) {
        return fedForGradient(mlpNorms.begin(s), balance);
    }

    private Tensor fed(HiddenStates input, @Nullable RouterBalance balance) {
        return mlpNorms.post(mlp.forward(input, balance));
    }

    private Tensor fedForGradient(HiddenStates input, @Nullable RouterBalance balance) {
        // A norm behind the last matmul reads its values.
        Tensor made = mlp.forwardForGradient(input, balance, mlpNorms.after() != null);
        return mlpNorms.after() == null ? mlpNorms.multiplied(made) : mlpNorms.post(made);
    }

    /** The second of parallel halves. */
    private Tensor beside(HiddenStates input, @Nullable RouterBalance balance) {
        return !GradMode.is_enabled() && TokenSlices.areSeveral(input.tensor())
                ? TokenSlices.forward(input.tensor(), slice -> fed(HiddenStates.of(slice), balance))
                : fed(input, balance);
    }

    /** The same for some tokens, from the residual stream on. */
    private Tensor normedMlp(Tensor x, @Nullable RouterBalance balance) {
        return fed(attentionNorms.begin(new ResidualStream(x)), balance);
    }

    /** The same where only the backward pass matters. */
    private Tensor normedMlpForGradient(Tensor x, @Nullable RouterBalance balance) {
        return fedForGradient(attentionNorms.begin(new ResidualStream(x)), balance);
    }

    /** The second half for some tokens. */
    private Tensor withMlp(Tensor x, @Nullable RouterBalance balance) {
        ResidualStream s = new ResidualStream(x);
        s.add(mlpBranch(s, balance));
        return s.value();
    }

    /** The same where only the backward pass matters. */
    private Tensor withMlpForGradient(Tensor x, @Nullable RouterBalance balance) {
        ResidualStream s = new ResidualStream(x);
        s.add(mlpBranchForGradient(s, balance));
        return s.gradientPath();
    }

    /**
     * Runs the block once more for its backward pass, when its activations were not kept.
     *
     * @return of the shape and with the gradients of {@link #forward}, but perhaps not its values
     */
    public Tensor forwardForGradient(Tensor x, Attention.Context context) {
        try (TensorScope scope = new TensorScope()) {
            ResidualStream s = new ResidualStream(x);
            HiddenStates input = attentionNorms.begin(s);
            Tensor mixed = attentionNorms.post(attention.forward(input, context, null));
            RouterBalance balance = context.balance();
            boolean several = TokenSlices.areSeveral(x);
            s.add(parallel && !several ? mixed.add(fedForGradient(input, balance)) : mixed);
            if (parallel) {
                Tensor path = s.gradientPath();
                return scope.keep(
                        several
                                ? path.add(TokenSlices.forGradient(x, part -> normedMlpForGradient(part, balance)))
                                : path);
            }
            if (several) {
                return scope.keep(TokenSlices.forGradient(s.value(), part -> withMlpForGradient(part, balance)));
            }
            s.add(mlpBranchForGradient(s, balance));
            return scope.keep(s.gradientPath());
        }
    }

    /** Whether the second half takes what the first one takes. */
    public boolean isParallel() {
        return parallel;
    }

    /** The norms around attention. */
    public Norms attentionNorms() {
        return attentionNorms;
    }

    /** The first half. */
    public Attention attention() {
        return attention;
    }

    /** The norms around the feed-forward part. */
    public Norms mlpNorms() {
        return mlpNorms;
    }

    /** The second half. */
    public FeedForward mlp() {
        return mlp;
    }

    /** The same block with each part replaced by what the mapper makes of it. */
    public DecoderBlock map(ModuleTransform mapper) {
        return new DecoderBlock(
                attentionNorms.map(mapper), attention.map(mapper), mlpNorms.map(mapper), mlp.map(mapper), parallel);
    }

    /** Hands over the block's norms, those within attention included, in the order of computation. */
    public void forEachNorm(Consumer<Named<RmsNorm>> sink) {
        attentionNorms.forEach(sink);
        attention.forEachNorm(sink);
        mlpNorms.forEach(sink);
    }

    /** Frees norms and router; the linears belong to the model. */
    @Override
    public void close() {
        mlp.forEachRouter(router -> router.module().close());
        attentionNorms.forEach(norm -> norm.module().close());
        attention.closeNorms();
        mlpNorms.forEach(norm -> norm.module().close());
    }
}
