package dev.finetune4j.core.decode;

import dev.finetune4j.core.kernel.AttentionSpec;
import dev.finetune4j.core.kernel.DecodeAttention;
import dev.finetune4j.core.kernel.DecodeBuffers;
import dev.finetune4j.core.kernel.DecodeKernels;
import dev.finetune4j.core.kernel.DecodeWorkspace;
import dev.finetune4j.core.kernel.NormSpec;
import dev.finetune4j.core.kernel.RowProducts;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.RotaryEmbedding;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * One token of each sequence through a decoder: the same calls in the same order on every processor, which brings its
 * {@link DecodeKernels}. Borrows the model's tensors.
 */
final class DecodeStep {
    /**
     * The norms around one half of a block.
     *
     * @param before of what goes in; null where the model has none
     * @param after of what comes out, before it is added; null where the model has none
     * @param multiplier factor on what is added; 1 where there is a norm behind it
     */
    record Norms(@Nullable NormSpec before, @Nullable NormSpec after, double multiplier) {}

    /**
     * One layer, {@code x += attention(norm(x)); x += mlp(norm(x))}.
     *
     * @param parallel whether the second half takes what the norm before the first one gives
     * @param inputs the projections to queries, keys and values
     * @param output the projection of attention's result
     */
    record Layer(
            boolean parallel,
            Norms attentionNorms,
            RowProducts inputs,
            DecodeAttention attention,
            RowProducts output,
            Norms mlpNorms,
            FeedForwardStep feedForward) {
        /** The most numbers of a row that the down projections of one group of products take. */
        int rank() {
            return Math.max(Math.max(inputs.rank(), output.rank()), feedForward.rank());
        }

        /** All products of the layer, in order. */
        List<RowProducts> products() {
            return FeedForwardStep.concat(List.of(inputs, output), feedForward.products());
        }

        /** The same layer with other products. */
        Layer with(UnaryOperator<RowProducts> change) {
            return new Layer(
                    parallel,
                    attentionNorms,
                    change.apply(inputs),
                    attention,
                    change.apply(output),
                    mlpNorms,
                    feedForward.with(change));
        }
    }

    /**
     * What a step consists of. Equal parts but for the products are those of one base with different adapters.
     *
     * @param embedding shape (V, D)
     * @param embeddingScale factor on its rows
     * @param rotaries of the kinds of layers, as their attention counts them
     * @param norm the one behind the last layer
     * @param head the projection to the vocabulary
     * @param softCap bound on the logits; 0 for none
     * @param logitsScaling divisor of the logits
     */
    record Parts(
            Tensor embedding,
            float embeddingScale,
            List<RotaryEmbedding> rotaries,
            List<Layer> layers,
            NormSpec norm,
            RowProducts head,
            double softCap,
            double logitsScaling) {
        /** All products of the step, in order. */
        List<RowProducts> products() {
            List<RowProducts> all = new ArrayList<>();
            layers.forEach(layer -> all.addAll(layer.products()));
            all.add(head);
            return all;
        }

        /** The same parts with another head. */
        Parts withHead(RowProducts other) {
            return new Parts(embedding, embeddingScale, rotaries, layers, norm, other, softCap, logitsScaling);
        }

        /** The same parts with other products. */
        Parts with(UnaryOperator<RowProducts> change) {
            return new Parts(
                    embedding,
                    embeddingScale,
                    rotaries,
                    layers.stream().map(layer -> layer.with(change)).toList(),
                    norm,
                    change.apply(head),
                    softCap,
                    logitsScaling);
        }
    }

    private final DecodeKernels kernels;
    private final Parts parts;

    DecodeStep(DecodeKernels kernels, Parts parts) {
        this.kernels = kernels;
        this.parts = parts;
    }

    DecodeKernels kernels() {
        return kernels;
    }

    Parts parts() {
        return parts;
    }

    /** The most rows that all products of the layers take. */
    int maxRows() {
        return parts.layers().stream()
                .flatMap(layer -> layer.products().stream())
                .mapToInt(RowProducts::maxRows)
                .min()
                .orElse(Integer.MAX_VALUE);
    }

    /** Brings what was made of an adapter up to date. */
    void refresh() {
        parts.products().forEach(RowProducts::refresh);
    }

    /** Whether tokens taken up together, of a sequence of that length, are rotated as they are one by one. */
    boolean hasFixedAngles(long length) {
        return parts.rotaries().stream().allMatch(rotary -> rotary.isFixedUpTo(length));
    }

    /** The working memory for a number of sequences. */
    DecodeBuffers buffers(CausalLM model, int rows) {
        int rank = parts.layers().stream().mapToInt(Layer::rank).max().orElse(0);
        int joint = parts.layers().stream()
                .mapToInt(layer -> layer.feedForward().joint())
                .max()
                .orElse(0);
        DecodeBuffers buffers = DecodeBuffers.make(
                model.placement().device(),
                kernels.type(),
                rows,
                attention(),
                parts.layers().size(),
                model.config().hiddenSize(),
                model.config().intermediateSize(),
                joint,
                model.config().vocabSize(),
                Math.max(rank, parts.head().rank()));
        return parts.layers().stream()
                .map(Layer::feedForward)
                .filter(FeedForwardStep.Experts.class::isInstance)
                .map(FeedForwardStep.Experts.class::cast)
                // Those of other layers are as large, but for what an adapter adds.
                .max(Comparator.comparingInt(FeedForwardStep.Experts::expertRank))
                .map(experts -> buffers.with(experts.buffers(kernels, buffers)))
                .orElse(buffers);
    }

    /** The memory for that many positions. */
    DecodeWorkspace workspace(int rows, long capacity) {
        try (TensorScope scope = new TensorScope()) {
            List<DecodeWorkspace.Angles> tables = new ArrayList<>();
            for (RotaryEmbedding rotary : parts.rotaries()) {
                RotaryEmbedding.Angles angles = rotary.stepAngles(capacity, kernels.type());
                tables.add(new DecodeWorkspace.Angles(
                        angles.cos().clone(), angles.sin().clone(), angles.interleaved()));
            }
            return kernels.workspace(rows, attention(), tables).releasedFrom(scope);
        }
    }

    private AttentionSpec attention() {
        return parts.layers().get(0).attention().shape();
    }

    /** From the rows in the buffers to their logits; keys and values of their positions join those of their sequences. */
    void run(DecodeBuffers buffers, DecodeWorkspace workspace) {
        run(buffers, workspace, false);
    }

    /**
     * The same.
     *
     * @param inOrder whether the rows are tokens of one sequence that follow each other
     */
    void run(DecodeBuffers buffers, DecodeWorkspace workspace, boolean inOrder) {
        kernels.embed(buffers, parts.embedding(), parts.embeddingScale());
        NormSpec after = null;
        for (int i = 0; i < parts.layers().size(); i++) {
            Layer layer = parts.layers().get(i);
            try (TensorScope turn = new TensorScope()) {
                project(after, layer, buffers);
                FeedForwardStep feedForward = layer.feedForward();
                if (layer.parallel()) {
                    lowRank(feedForward.first(), buffers);
                    feedForward.begin(kernels, buffers);
                    attend(i, buffers, workspace, inOrder);
                } else {
                    attend(i, buffers, workspace, inOrder);
                    feedForward(layer, buffers);
                }
                feedForward.end(kernels, layer.mlpNorms(), buffers);
            }
            after = layer.mlpNorms().after();
        }
        begin(after, parts.norm(), parts.head(), buffers);
        parts.head().runBehind(buffers.normed(), buffers.rows(), buffers.low(), buffers.logits(), false);
        if (parts.logitsScaling() != 1) {
            buffers.logits().div_(new Scalar(parts.logitsScaling()));
        }
        if (parts.softCap() > 0) {
            kernels.softCap(buffers, parts.softCap());
        }
    }

    /** Queries, keys and values. */
    private void project(@Nullable NormSpec after, Layer layer, DecodeBuffers buffers) {
        NormSpec norm = layer.attentionNorms().before();
        RowProducts inputs = layer.inputs();
        // The second half of a parallel layer takes the norm too.
        if (after == null && norm != null && !layer.parallel() && inputs.takesNorm(buffers.rows(), norm)) {
            inputs.runOfNorm(buffers.state(), buffers.rows(), norm, buffers.qkv());
            return;
        }
        begin(after, norm, inputs, buffers);
        inputs.runBehind(buffers.normed(), buffers.rows(), buffers.low(), buffers.qkv(), false);
    }

    private void feedForward(Layer layer, DecodeBuffers buffers) {
        NormSpec after = layer.attentionNorms().after();
        NormSpec norm = layer.mlpNorms().before();
        FeedForwardStep feedForward = layer.feedForward();
        if (after == null && norm != null && feedForward.takesNorm(buffers.rows(), norm)) {
            feedForward.beginOfNorm(kernels, buffers, norm);
            return;
        }
        begin(after, norm, feedForward.first(), buffers);
        feedForward.begin(kernels, buffers);
    }

    private void attend(int index, DecodeBuffers buffers, DecodeWorkspace workspace, boolean inOrder) {
        Layer layer = parts.layers().get(index);
        if (inOrder) {
            kernels.attendInOrder(buffers, workspace, index, layer.attention());
        } else {
            kernels.attend(buffers, workspace, index, layer.attention());
        }
        end(layer.output(), buffers.mixed(), layer.attentionNorms(), buffers);
    }

    private static void lowRank(@Nullable RowProducts next, DecodeBuffers buffers) {
        if (next != null) {
            next.lowRank(buffers.normed(), buffers.rows(), buffers.low());
        }
    }

    /** The residual stream, normalised where the model does so, and the down projections of the first products that take it. */
    private void begin(
            @Nullable NormSpec after, @Nullable NormSpec norm, @Nullable RowProducts next, DecodeBuffers buffers) {
        Tensor low = buffers.low();
        if (after == null
                && norm != null
                && next != null
                && next.lowRankOfNorm(buffers.state(), buffers.rows(), norm, buffers.normed(), low)) {
            return;
        }
        kernels.norm(buffers, after, norm);
        lowRank(next, buffers);
    }

    /** The last projection of a half, added to the residual stream, or left to the norm behind it. */
    static void end(RowProducts projection, Tensor x, Norms norms, DecodeBuffers buffers) {
        boolean add = norms.after() == null;
        if (add && (!projection.adds() || norms.multiplier() != 1)) {
            projection.run(x, buffers.rows(), buffers.low(), buffers.normed(), false);
            buffers.state().add_(buffers.normed(), new Scalar(norms.multiplier()));
            return;
        }
        projection.run(x, buffers.rows(), buffers.low(), add ? buffers.state() : buffers.normed(), add);
    }
}
