package dev.finetune4j.core.nn;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.AttentionSpec;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.SharedKeys;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Optional;
import java.util.function.Consumer;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Causal self-attention with fewer key and value heads than query heads where the model has them
 * (<a href="https://arxiv.org/abs/2305.13245">grouped-query attention, Ainslie et al. 2023</a>), computed by
 * whatever the device has that never holds all scores of a sequence ({@link dev.finetune4j.core.kernel.SequenceAttention}), and
 * elsewhere, as behind a cache, by libtorch's scaled dot product attention, or by plain products where the scores are soft-capped.
 */
public final class Attention {
    /**
     * The numbers of an attention.
     *
     * @param heads number of query heads
     * @param kvHeads number of key and value heads, a divisor of {@code heads}
     * @param headDim channels of one head
     * @param scale factor on the dot products, usually 1/√headDim
     * @param softCap bound that a hyperbolic tangent puts on the scaled dot products; 0 for none
     */
    public record Shape(int heads, int kvHeads, int headDim, double scale, double softCap) {
        /**
         * What a kernel must know of it.
         *
         * @param window how many positions a token sees, itself included; 0 for all
         */
        public AttentionSpec spec(int window) {
            return new AttentionSpec(heads, kvHeads, headDim, scale, softCap, window);
        }

        /** Queries, keys and values behind one another, (B, T, …), each for itself. */
        Tensor[] split(Tensor joint) {
            long[] widths = {(long) heads * headDim, (long) kvHeads * headDim, (long) kvHeads * headDim};
            TensorVector split = joint.split_with_sizes(widths, -1);
            return new Tensor[] {split.get(0), split.get(1), split.get(2)};
        }

        /** The other way, (B, T, …). */
        static Tensor concat(Tensor... qkv) {
            Tensor[] rows = new Tensor[qkv.length];
            for (int i = 0; i < qkv.length; i++) {
                rows[i] = qkv[i].transpose(1, 2); // (B, T, n, head size)
            }
            return torch.cat(new TensorVector(rows), 2).flatten(2, 3);
        }

        /** Queries, keys and values, (B, T, n · head size) each, to (B, n, T, head size) each. */
        Tensor[] heads(Tensor... qkv) {
            return new Tensor[] {heads(qkv[0], heads), heads(qkv[1], kvHeads), heads(qkv[2], kvHeads)};
        }

        /** (B, T, n · head size) to (B, n, T, head size). */
        private Tensor heads(Tensor x, long n) {
            return x.reshape(x.size(0), x.size(1), n, headDim).transpose(1, 2);
        }
    }

    /**
     * What the layers of one forward pass share if they are of one kind.
     *
     * @param angles rotary angles of the new positions
     * @param mask shape (T, past + T), true where a query may look; of a packed row for its longest sequence; null when the
     *     plain causal rule or no rule applies
     * @param packed the sequences of a packed row; null for one sequence
     * @param window how many positions a token sees, itself included; 0 for all
     * @param kept of one layer that is recomputed, where the result of its attention is kept; null where it is not
     * @param balance of the routers, where they are trained with a loss of their own; null where they are not
     */
    public record Context(
            RotaryEmbedding.Angles angles,
            @Nullable Tensor mask,
            @Nullable PackedSequences packed,
            int window,
            @Nullable KeptMix kept,
            @Nullable RouterBalance balance) {
        /** For a pass that nothing is kept of. */
        public Context(
                RotaryEmbedding.Angles angles, @Nullable Tensor mask, @Nullable PackedSequences packed, int window) {
            this(angles, mask, packed, window, null, null);
        }

        /** For a pass whose routers have a loss of their own. */
        public Context with(@Nullable RouterBalance loss) {
            return new Context(angles, mask, packed, window, kept, loss);
        }

        /** For one layer of which attention is not to be recomputed. */
        public Context keeping(KeptMix mix) {
            return new Context(angles, mask, packed, window, mix, balance);
        }

        /**
         * For one of the packed sequences.
         *
         * @param before how many tokens it begins with that lie elsewhere
         * @param length how many follow them
         */
        Context alone(long before, long length) {
            if (mask != null) {
                return new Context(angles, mask.narrow(0, before, length).narrow(1, 0, before + length), null, window);
            }
            Tensor seen = before == 0
                    ? null
                    : Tensors.ones(Tensors.deviceOf(angles.cos()), ScalarType.Bool, length, before + length)
                            .tril(before);
            return new Context(angles, seen, null, window);
        }
    }

    /**
     * Norms over the channels of each query and key head (<a href="https://arxiv.org/abs/2010.04245">Henry et al. 2020</a>), or
     * over those of all heads together.
     *
     * @param query weight of shape (head size) for each head alone, (heads, head size) where each has its own, in one module or in
     *     as many, or (heads · head size) for all together
     * @param key as the query's, of the key heads
     */
    public record HeadNorms(HeadNorm query, HeadNorm key) {
        /** Of one module each. */
        public HeadNorms(Named<RmsNorm> query, Named<RmsNorm> key) {
            this(HeadNorm.of(query), HeadNorm.of(key));
        }

        /** Whether each head is normalised alone, with a weight that all share. */
        boolean areOfEachHead(Shape shape) {
            Tensor weight = query.norms().get(0).module().weight();
            return query.norms().size() == 1 && weight.dim() == 1 && weight.numel() == shape.headDim();
        }

        /** Heads side by side, (B, T, n · head size), with weights of their own or together. */
        private static Tensor sideBySide(HeadNorm norms, Tensor x) {
            RmsNorm norm = norms.module();
            Tensor weight = norm.weight();
            if (weight.dim() == 1) {
                return norm.forward(x);
            }
            Tensor heads = x.reshape(x.size(0), x.size(1), weight.size(0), weight.size(1));
            return norm.forward(heads).flatten(2, 3);
        }

        /** Queries, keys and values, (B, T, n · head size) each, with the first two normalised, (B, n, T, head size) each. */
        Tensor[] heads(Shape shape, Tensor... qkv) {
            if (areOfEachHead(shape)) {
                Tensor[] heads = shape.heads(qkv);
                return new Tensor[] {
                    query.module().forward(heads[0]), key.module().forward(heads[1]), heads[2]
                };
            }
            return shape.heads(sideBySide(query, qkv[0]), sideBySide(key, qkv[1]), qkv[2]);
        }

        /** Normalised with weights of their own or together: queries, keys and values behind one another, (B, T, …), as they were. */
        Tensor concatenated(Shape shape, Tensor joint) {
            Tensor[] qkv = shape.split(joint);
            return torch.cat(new TensorVector(sideBySide(query, qkv[0]), sideBySide(key, qkv[1]), qkv[2]), -1);
        }

        /** Whether both differ in nothing but their weights. */
        boolean areAlike() {
            return query.module().epsilon() == key.module().epsilon()
                    && query.module().unitOffset() == key.module().unitOffset();
        }
    }

    /**
     * Whether windows over tokens before which there are no others need no mask, because attention knows of them.
     *
     * @param type of queries, keys and values
     */
    public static boolean knowsWindows(ComputeDevice device, ScalarType type, Shape shape) {
        return FusedAttention.supports(DeviceKernels.of(device), type, shape);
    }

    private final Shape shape;
    private final ProjectionGroup inputs;
    private final @Nullable HeadNorms norms;
    private final Named<Linear> output;

    /**
     * @param inputs the projections to queries, keys and values
     * @param norms norms on queries and keys before the rotary embedding is applied, or null
     */
    public Attention(Shape shape, ProjectionGroup inputs, @Nullable HeadNorms norms, Named<Linear> output) {
        this.shape = shape;
        this.inputs = inputs;
        this.norms = norms;
        this.output = output;
    }

    /** The projections to queries, keys and values. */
    public ProjectionGroup inputs() {
        return inputs;
    }

    /** The norms on queries and keys; null where the model has none. */
    public @Nullable HeadNorms norms() {
        return norms;
    }

    /** The projection of what the heads give. */
    public Named<Linear> output() {
        return output;
    }

    /**
     * What a kernel must know of it.
     *
     * @param window how many positions a token sees, itself included; 0 for all
     */
    public AttentionSpec spec(int window) {
        return shape.spec(window);
    }

    /**
     * Mixes each token with those before it.
     *
     * @param x shape (B, T, D)
     * @param past what the layer has before these tokens, or null when they are the first
     * @return shape (B, T, D)
     */
    Tensor forward(HiddenStates x, Context context, @Nullable KvStore past) {
        if (past == null) {
            Optional<FusedAttention> fused = FusedAttention.of(x.tensor(), shape, context);
            if (fused.isPresent()) {
                Tensor joint = inputs.concatenated(x); // (B, T, …)
                Tensor mixed = LayerKernels.of(joint).attend(joint, shape, norms, context.angles(), fused.get());
                return output.module().forward(mixed);
            }
        }
        Tensor[] qkv = rotated(x, context);
        if (past != null) {
            KvStore.KeysAndValues all = past.update(qkv[1], qkv[2]);
            qkv[1] = all.keys();
            qkv[2] = all.values();
        }
        return output.module().forward(mixed(qkv, context));
    }

    /** (B, heads, T, head size), (B, kv heads, past + T, head size) twice to (B, T, heads · head size). */
    private Tensor mixed(Tensor[] qkv, Context context) {
        long tokens = qkv[0].size(2);
        if (tokens > 1 && qkv[1].size(2) == tokens) {
            Optional<FusedAttention> fused = FusedAttention.of(qkv[0], shape, context);
            if (fused.isPresent()) {
                return fused.get().mix(Shape.concat(qkv));
            }
        }
        if (context.packed() != null) {
            return eachAlone(qkv, context, context.packed());
        }
        Tensor mixed = shape.softCap() > 0
                ? capped(qkv[0], qkv[1], qkv[2], context)
                : plain(shape, qkv[0], qkv[1], qkv[2], context);
        return mixed.transpose(1, 2).reshape(qkv[0].size(0), tokens, (long) shape.heads() * shape.headDim());
    }

    private Tensor eachAlone(Tensor[] qkv, Context context, PackedSequences packed) {
        TensorVector all = new TensorVector();
        long start = 0;
        for (int i = 0; i < packed.lengths().length; i++) {
            long length = packed.lengths()[i];
            if (length > 0) {
                SharedKeys.Prefix prefix = packed.prefix(i);
                Tensor[] own = {
                    qkv[0].narrow(2, start, length),
                    behind(prefix, qkv[1], qkv[1].narrow(2, start, length)),
                    behind(prefix, qkv[2], qkv[2].narrow(2, start, length))
                };
                all.push_back(mixed(own, context.alone(prefix.length(), length)));
            }
            start += length;
        }
        return torch.cat(all, 1);
    }

    /** Keys or values of a sequence with those that it begins with. */
    private static Tensor behind(SharedKeys.Prefix prefix, Tensor row, Tensor own) {
        return prefix.length() == 0
                ? own
                : torch.cat(new TensorVector(row.narrow(2, prefix.start(), prefix.length()), own), 2);
    }

    /** Queries, keys and values with the angles of their positions, (B, n, T, head size) each. */
    private Tensor[] rotated(HiddenStates x, Context context) {
        if (norms == null && inputs.isConcatenated(x.tensor())) {
            return LayerKernels.of(x.tensor()).rotatedHeads(inputs.concatenated(x), shape, context.angles());
        }
        Tensor[] flat = inputs.forward(x);
        Tensor[] qkv = norms == null ? shape.heads(flat) : norms.heads(shape, flat);
        qkv[0] = RotaryEmbedding.rotate(qkv[0], context.angles());
        qkv[1] = RotaryEmbedding.rotate(qkv[1], context.angles());
        return qkv;
    }

    /** Attention without a bound on its scores; on a GPU in bfloat16 by a fused kernel where there is no mask. */
    static Tensor plain(Shape shape, Tensor q, Tensor k, Tensor v, Context context) {
        // With a past and one new token every position may be seen, so neither rule nor mask is needed.
        boolean causal = context.mask() == null && q.size(2) > 1;
        TensorOptional mask = context.mask() == null ? new TensorOptional() : new TensorOptional(context.mask());
        ScalarType type = Tensors.typeOf(q);
        ScalarType used = DeviceKernels.of(q).attentionType(type);
        Tensor mixed = attend(shape, Tensors.as(q, used), Tensors.as(k, used), Tensors.as(v, used), mask, causal);
        return Tensors.as(mixed, type);
    }

    private static Tensor attend(Shape shape, Tensor q, Tensor k, Tensor v, TensorOptional mask, boolean causal) {
        return torch.scaled_dot_product_attention(
                q, k, v, mask, 0.0, causal, new DoubleOptional(shape.scale()), shape.heads() != shape.kvHeads());
    }

    /** The bound on the scores stands between product and softmax, where no fused kernel lets anyone in. */
    private Tensor capped(Tensor q, Tensor k, Tensor v, Context context) {
        long batch = q.size(0);
        long tokens = q.size(2);
        long group = shape.heads() / shape.kvHeads();
        Tensor grouped = q.reshape(batch, shape.kvHeads(), group * tokens, shape.headDim());
        Tensor scores = torch.matmul(grouped, k.transpose(2, 3)) // (B, kv heads, group · T, past + T)
                .mul(new Scalar(shape.scale() / shape.softCap()))
                .tanh()
                .mul(new Scalar(shape.softCap()))
                .view(batch, shape.kvHeads(), group, tokens, k.size(2));
        Tensor hidden = hidden(context, scores);
        if (hidden != null) {
            scores = scores.masked_fill(hidden, new Scalar(Double.NEGATIVE_INFINITY));
        }
        return torch.matmul(torch.softmax(scores, -1).view(batch, shape.kvHeads(), group * tokens, k.size(2)), v)
                .view(batch, shape.heads(), tokens, shape.headDim());
    }

    /** True where a query may not look, shape (T, past + T); null when it may look everywhere. */
    private static @Nullable Tensor hidden(Context context, Tensor scores) {
        if (context.mask() != null) {
            return context.mask().logical_not();
        }
        long tokens = scores.size(3);
        if (tokens == 1) {
            return null;
        }
        return torch.ones_like(scores.select(0, 0).select(0, 0).select(0, 0))
                .to(torch.ScalarType.Bool)
                .triu(1);
    }

    /** The same attention with each part replaced by what the mapper makes of it. */
    Attention map(ModuleTransform mapper) {
        HeadNorms mapped = norms == null
                ? null
                : new HeadNorms(norms.query().map(mapper), norms.key().map(mapper));
        return new Attention(shape, inputs.map(mapper), mapped, output.map(mapper::linear));
    }

    void forEachNorm(Consumer<Named<RmsNorm>> sink) {
        if (norms != null) {
            norms.query().forEach(sink);
            norms.key().forEach(sink);
        }
    }

    /** Frees the norms of the heads; the linears belong to the model. */
    void closeNorms() {
        if (norms != null) {
            norms.query().close();
            norms.key().close();
        }
    }
}
