package dev.finetune4j.core.nn;

import dev.finetune4j.core.nn.KvCache.KeysAndValues;
import java.util.function.BiFunction;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * Causal self-attention with fewer key and value heads than query heads where the model has them
 * (<a href="https://arxiv.org/abs/2305.13245">grouped-query attention, Ainslie et al. 2023</a>), computed by libtorch's
 * scaled dot product attention. Forward calls may run in several threads at once; closing may not overlap with them.
 */
public final class Attention {
    /**
     * What every layer of one forward pass shares.
     *
     * @param angles rotary angles of the new positions
     * @param mask shape (T, past + T), true where a query may look; null when the plain causal rule or no rule applies
     */
    public record Context(
            RotaryEmbedding.Angles angles, @Nullable Tensor mask) {}

    private final String name;
    private final int heads;
    private final int kvHeads;
    private final int headDim;
    private final Linear query;
    private final Linear key;
    private final Linear value;
    private final Linear output;

    /**
     * @param name Hugging Face module path, such as {@code model.layers.0.self_attn}
     * @param heads number of query heads
     * @param kvHeads number of key and value heads, a divisor of {@code heads}
     * @param headDim channels of one head
     */
    public Attention(
            String name, int heads, int kvHeads, int headDim, Linear query, Linear key, Linear value, Linear output) {
        this.name = name;
        this.heads = heads;
        this.kvHeads = kvHeads;
        this.headDim = headDim;
        this.query = query;
        this.key = key;
        this.value = value;
        this.output = output;
    }

    /**
     * Mixes each token with those before it.
     *
     * @param x shape (B, T, D)
     * @param cache the layer's part of the cache, or null for a whole sequence at once
     * @return shape (B, T, D)
     */
    public Tensor forward(Tensor x, Context context, KvCache.@Nullable Layer cache) {
        long batch = x.size(0);
        long tokens = x.size(1);
        Tensor q = RotaryEmbedding.rotate(split(query.forward(x), batch, tokens, heads), context.angles());
        Tensor k = RotaryEmbedding.rotate(split(key.forward(x), batch, tokens, kvHeads), context.angles());
        Tensor v = split(value.forward(x), batch, tokens, kvHeads);
        if (cache != null) {
            KeysAndValues all = cache.append(k, v);
            k = all.keys();
            v = all.values();
        }
        // With a cache and one new token every position may be seen, so neither rule nor mask is needed.
        boolean causal = context.mask() == null && tokens > 1;
        TensorOptional mask = context.mask() == null ? new TensorOptional() : new TensorOptional(context.mask());
        Tensor mixed = torch.scaled_dot_product_attention(
                q, k, v, mask, 0.0, causal, new DoubleOptional(), heads != kvHeads); // (B, H, T, head size)
        return output.forward(mixed.transpose(1, 2).reshape(batch, tokens, (long) heads * headDim));
    }

    /** (B, T, n · head size) to (B, n, T, head size). */
    private Tensor split(Tensor x, long batch, long tokens, long n) {
        return x.view(batch, tokens, n, headDim).transpose(1, 2);
    }

    /** The same attention with each linear replaced by what {@code replacement} makes of its name and itself. */
    Attention mapLinears(BiFunction<String, Linear, Linear> replacement) {
        return new Attention(
                name,
                heads,
                kvHeads,
                headDim,
                replacement.apply(name + ".q_proj", query),
                replacement.apply(name + ".k_proj", key),
                replacement.apply(name + ".v_proj", value),
                replacement.apply(name + ".o_proj", output));
    }
}
