package dev.finetune4j.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Set;

/**
 * Keys of config.json that change what one kind of model computes without a trace in the names of its tensors. In the file
 * of another kind, transformers passes over nearly all of them, but then the numbers are hardly those that were meant.
 */
final class ForeignKeys {
    /** Factors, with which 1 does nothing. */
    private static final Set<String> FACTORS = Set.of(
            "embedding_multiplier",
            "residual_multiplier",
            "logits_scaling",
            "logit_scale",
            "scale_emb",
            "lm_head_multiplier",
            "key_multiplier",
            "attention_in_multiplier",
            "attention_out_multiplier",
            "rotary_pct");

    private static final Set<String> SWITCHES = Set.of(
            "attention_multiplier",
            "scale_depth",
            "dim_model_base",
            "use_bidirectional_attention",
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "logit_softcapping",
            "query_pre_attn_scalar",
            "attention_chunk_size",
            "attention_window",
            "no_rope_layers",
            "no_rope_layer_interval",
            "attn_temperature_tuning",
            "use_logn_attn",
            "use_dynamic_ntk",
            "alibi",
            "clip_qkv",
            "use_qk_norm",
            "qk_norm",
            "qk_layernorm",
            "parallel_attn",
            "use_parallel_residual",
            "apply_residual_connection_post_layernorm",
            "rope_interleaved",
            "rope_interleave",
            "rotary_dim",
            "kv_lora_rank",
            "q_lora_rank",
            "qk_rope_head_dim",
            "qk_nope_head_dim",
            "v_head_dim",
            "num_experts",
            "num_local_experts",
            "n_routed_experts",
            "n_shared_experts",
            "num_experts_per_tok",
            "num_kv_shared_layers",
            "per_layer_config",
            "text_config",
            "quantization"); // MLX: the weights are packed

    private ForeignKeys() {}

    /**
     * Whether a key that this kind of model does not have would change the numbers of another.
     *
     * @param root the file, which holds the key with a value that is not off
     */
    static boolean changesNumbers(String key, JsonNode root) {
        JsonNode value = root.path(key);
        if (FACTORS.contains(key)) {
            return !value.isNumber() || value.doubleValue() != 1;
        }
        return SWITCHES.contains(key) || (key.equals("sliding_window") && narrows(root, value));
    }

    /** Whether a window hides positions within the model's reach. */
    private static boolean narrows(JsonNode root, JsonNode window) {
        boolean used = root.path("use_sliding_window").asBoolean(true);
        int reach = root.path("max_position_embeddings").asInt(Integer.MAX_VALUE);
        return used && !(window.isNumber() && (window.doubleValue() < 0 || window.doubleValue() >= reach));
    }
}
