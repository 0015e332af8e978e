package dev.finetune4j.core.model;

import java.util.Map;

/**
 * The largest sizes that a config.json may name, each several times the largest of any published model: memory is laid
 * out by these numbers before the weights show whether they are true.
 */
final class SizeLimits {
    /** For what has no limit of its own, such as positions. */
    private static final int OTHERS = 1 << 30;

    private static final Map<String, Integer> LIMITS = Map.of(
            "num_hidden_layers", 1_000,
            "num_attention_heads", 1 << 14,
            "num_key_value_heads", 1 << 14,
            "head_dim", 1 << 16,
            "hidden_size", 1 << 20,
            "intermediate_size", 1 << 23,
            "vocab_size", 1 << 24);

    /** For the heads of a layer side by side. */
    static final long HEADS_WIDTH = 1 << 22;

    private SizeLimits() {}

    static int of(String key) {
        return LIMITS.getOrDefault(key, OTHERS);
    }
}
