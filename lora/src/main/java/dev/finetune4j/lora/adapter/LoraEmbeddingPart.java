package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.nn.Embedding;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The low-rank factors of one embedding.
 *
 * @param a shape (r, V), float32
 * @param b shape (D, r), float32
 * @param magnitude length of each column of the adapted table, shape (D), float32; null unless it is trained apart
 * @param scale factor on the product
 */
record LoraEmbeddingPart(Tensor a, Tensor b, @Nullable Tensor magnitude, double scale) implements ModulePart {
    static final String A = "lora_embedding_A";
    static final String B = "lora_embedding_B";

    @Override
    public Map<String, Tensor> trained() {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put(A, a);
        tensors.put(B, b);
        if (magnitude != null) {
            tensors.put(LoraPart.MAGNITUDE, magnitude);
        }
        return tensors;
    }

    @Override
    public Embedding around(Embedding base) {
        return new LoraEmbedding(base, this);
    }
}
