package dev.finetune4j.core.model;

import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.RotaryEmbedding;
import dev.finetune4j.core.nn.TiedHead;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BiFunction;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A decoder that predicts the next token: embedding, blocks, norm, projection to the vocabulary.
 *
 * <p>A model is made of shared parts. {@link #mapLinears} returns another model over the <em>same</em> embedding, norms and
 * weights in which some linears are replaced; an adapter is such a view, so the base stays usable beside any number of
 * adapters. The model that was loaded owns the parts; closing a view frees nothing.
 *
 * <p>Forward calls may run in several threads at once, each with a cache of its own. Closing may not overlap with them.
 */
public final class CausalLM implements AutoCloseable {
    private final ModelConfig config;
    private final Placement placement;
    private final Tensor embedding;
    private final RotaryEmbedding rotary;
    private final List<DecoderBlock> blocks;
    private final RmsNorm norm;
    private final Linear head;
    private final Map<String, Linear> linears;
    private final boolean owner;
    private final AtomicBoolean closed;

    private CausalLM(
            ModelConfig config,
            Placement placement,
            Tensor embedding,
            RotaryEmbedding rotary,
            List<DecoderBlock> blocks,
            RmsNorm norm,
            Linear head,
            Map<String, Linear> linears,
            boolean owner,
            AtomicBoolean closed) {
        this.config = config;
        this.placement = placement;
        this.embedding = embedding;
        this.rotary = rotary;
        this.blocks = List.copyOf(blocks);
        this.norm = norm;
        this.head = head;
        this.linears = linears;
        this.owner = owner;
        this.closed = closed;
    }

    static CausalLM withHead(
            ModelConfig config,
            ModelParts parts,
            Tensor embedding,
            RotaryEmbedding rotary,
            List<DecoderBlock> blocks,
            RmsNorm norm,
            Linear head) {
        return new CausalLM(
                config,
                parts.placement(),
                embedding,
                rotary,
                blocks,
                norm,
                head,
                new LinkedHashMap<>(parts.linears()),
                true,
                new AtomicBoolean());
    }

    static CausalLM withTiedHead(
            ModelConfig config,
            ModelParts parts,
            Tensor embedding,
            RotaryEmbedding rotary,
            List<DecoderBlock> blocks,
            RmsNorm norm) {
        return withHead(config, parts, embedding, rotary, blocks, norm, new TiedHead(embedding));
    }

    /** The numbers that define it. */
    public ModelConfig config() {
        return config;
    }

    /** Where the model lives and in which precision it computes. */
    public Placement placement() {
        return placement;
    }

    /**
     * Runs the decoder up to the last norm.
     *
     * @param tokens token ids, int64, shape (B, T), on the model's device
     * @param cache holds the positions before these and takes up the new ones; null to start at position 0 without one
     * @return shape (B, T, D)
     * @throws IllegalStateException if the model is closed
     */
    public Tensor hidden(Tensor tokens, @Nullable KvCache cache) {
        requireOpen();
        long past = cache == null ? 0 : cache.length();
        long count = tokens.size(1);
        try (TensorScope scope = new TensorScope()) {
            ScalarType type = placement.precision().scalarType();
            Attention.Context context = new Attention.Context(rotary.angles(past, count, type), mask(past, count));
            Tensor x = Tensors.as(torch.embedding(embedding, tokens), type); // (B, T, D)
            for (int i = 0; i < blocks.size(); i++) {
                x = blocks.get(i).forward(x, context, cache == null ? null : cache.layer(i));
            }
            if (cache != null) {
                cache.advance(count);
            }
            return scope.keep(norm.forward(x));
        }
    }

    /** Token ids as {@link #hidden} takes them, on the model's device. */
    public Tensor tokens(long[] ids, long batch, long tokens) {
        return Tensors.ofLongs(placement.device(), ids, batch, tokens);
    }

    /** Projects (…, D) to the vocabulary, (…, V). */
    public Tensor logits(Tensor hidden) {
        requireOpen();
        return head.forward(hidden);
    }

    /** The projection to the vocabulary. */
    public Linear head() {
        return head;
    }

    /** The projections by Hugging Face module path; the head is there unless it is tied to the embedding. */
    public Map<String, Linear> linears() {
        return java.util.Collections.unmodifiableMap(linears);
    }

    /** The module path of the projection to the vocabulary, which adapters and quantization leave alone by default. */
    public static boolean isOutputHead(String linearName) {
        return linearName.equals("lm_head");
    }

    /**
     * A model over the same parts in which each linear is replaced by what the function makes of its name and itself;
     * returning the linear leaves it as it is.
     */
    public CausalLM mapLinears(BiFunction<String, Linear, Linear> replacement) {
        requireOpen();
        Map<String, Linear> replaced = new LinkedHashMap<>();
        linears.forEach((name, linear) -> replaced.put(name, replacement.apply(name, linear)));
        BiFunction<String, Linear, Linear> lookUp = (name, linear) -> replaced.getOrDefault(name, linear);
        return new CausalLM(
                config,
                placement,
                embedding,
                rotary,
                blocks.stream().map(block -> block.mapLinears(lookUp)).toList(),
                norm,
                lookUp.apply("lm_head", head),
                replaced,
                false,
                closed);
    }

    /** All tensors that full fine-tuning can train and that saving writes, by Hugging Face name. */
    public Map<String, Tensor> parameters() {
        requireOpen();
        Map<String, Tensor> parameters = new LinkedHashMap<>();
        parameters.put("model.embed_tokens.weight", embedding);
        for (DecoderBlock block : blocks) {
            block.forEachNorm(parameters::put);
        }
        linears.forEach((name, linear) ->
                linear.parameters().forEach((suffix, tensor) -> parameters.put(name + "." + suffix, tensor)));
        parameters.put("model.norm.weight", norm.weight());
        return parameters;
    }

    /** A new, empty cache for this model; the caller closes it. */
    public KvCache newCache() {
        requireOpen();
        return new KvCache(config.layers());
    }

    /** Several new tokens behind a filled cache need a mask: token i may see the past and the new tokens up to itself. */
    private @Nullable Tensor mask(long past, long count) {
        if (past == 0 || count == 1) {
            return null;
        }
        return Tensors.ones(placement.device(), ScalarType.Bool, count, past + count)
                .tril(past);
    }

    private void requireOpen() {
        if (closed.get()) {
            throw new IllegalStateException("the model is closed; load it again to use it");
        }
    }

    /** Frees the weights if this model was loaded and is not a view. Closing twice is fine. */
    @Override
    public void close() {
        if (!owner || closed.getAndSet(true)) {
            return;
        }
        embedding.close();
        rotary.close();
        blocks.forEach(DecoderBlock::close);
        norm.close();
        linears.values().forEach(Linear::close);
    }
}
