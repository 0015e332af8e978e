package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * The low-rank factors of one embedding.
 *
 * @param a shape (r, V), float32
 * @param b shape (D, r), float32
 * @param magnitude length of each column of the adapted table, shape (D), float32; null unless it is trained apart
 * @param scale factor on the product
 * @param storedAtDoubleRank as for {@link LoraLayer}; nothing is subtracted from embeddings, so zeros follow
 */
record LoraEmbeddingLayer(Tensor a, Tensor b, @Nullable Tensor magnitude, double scale, boolean storedAtDoubleRank)
        implements AdapterLayer {
    static final String A = "lora_embedding_A";
    static final String B = "lora_embedding_B";

    @Override
    public Map<String, Tensor> trained() {
        return named(a, b);
    }

    @Override
    public Map<String, Tensor> stored() {
        if (!storedAtDoubleRank) {
            return trained();
        }
        try (NoGradGuard off = new NoGradGuard()) {
            return named(
                    torch.cat(new TensorVector(a, torch.zeros_like(a)), 0), // (2r, V)
                    torch.cat(new TensorVector(b, torch.zeros_like(b)), 1)); // (D, 2r)
        }
    }

    private Map<String, Tensor> named(Tensor first, Tensor second) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put(A, first);
        tensors.put(B, second);
        if (magnitude != null) {
            tensors.put(LoraLayer.MAGNITUDE, magnitude);
        }
        return tensors;
    }

    @Override
    public Embedding wrap(Embedding base) {
        return new LoraEmbedding(base, this);
    }
}
