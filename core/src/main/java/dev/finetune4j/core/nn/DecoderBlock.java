package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.function.BiConsumer;
import java.util.function.BiFunction;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** One layer of a decoder: attention and feed-forward, each behind its norm and added to its input. Forward calls may run in several threads at once; closing may not overlap with them. */
public final class DecoderBlock implements AutoCloseable {
    private final String name;
    private final RmsNorm attentionNorm;
    private final Attention attention;
    private final RmsNorm mlpNorm;
    private final GatedMlp mlp;

    /** @param name Hugging Face module path, such as {@code model.layers.0} */
    public DecoderBlock(String name, RmsNorm attentionNorm, Attention attention, RmsNorm mlpNorm, GatedMlp mlp) {
        this.name = name;
        this.attentionNorm = attentionNorm;
        this.attention = attention;
        this.mlpNorm = mlpNorm;
        this.mlp = mlp;
    }

    /** (B, T, D) to (B, T, D); the handles of everything in between are closed before it returns. */
    public Tensor forward(Tensor x, Attention.Context context, KvCache.@Nullable Layer cache) {
        try (TensorScope scope = new TensorScope()) {
            Tensor attended = x.add(attention.forward(attentionNorm.forward(x), context, cache));
            return scope.keep(attended.add(mlp.forward(mlpNorm.forward(attended))));
        }
    }

    /** The same block, sharing the norms, with each linear replaced. */
    public DecoderBlock mapLinears(BiFunction<String, Linear, Linear> replacement) {
        return new DecoderBlock(
                name, attentionNorm, attention.mapLinears(replacement), mlpNorm, mlp.mapLinears(replacement));
    }

    /** Names the tensors that are not part of a linear. */
    public void forEachNorm(BiConsumer<String, Tensor> sink) {
        sink.accept(name + ".input_layernorm.weight", attentionNorm.weight());
        sink.accept(name + ".post_attention_layernorm.weight", mlpNorm.weight());
    }

    /** Frees the norms; the linears belong to the model. */
    @Override
    public void close() {
        attentionNorm.close();
        mlpNorm.close();
    }
}
