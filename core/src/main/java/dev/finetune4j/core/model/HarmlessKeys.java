package dev.finetune4j.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Set;

/** Keys of config.json that describe, initialise or serve a model without a part in its numbers. */
final class HarmlessKeys {
    private static final Set<String> KEYS = Set.of(
            "model_type",
            "architectures",
            "transformers_version",
            "torch_dtype",
            "dtype",
            "auto_map",
            "name_or_path",
            "use_cache",
            "initializer_range",
            "pretraining_tp",
            "quantization_config",
            "unsloth_version",
            "unsloth_fixed",
            "model_max_length",
            "tokenizer_class",
            "language",
            "license",
            "task_specific_params",
            "problem_type",
            "finetuning_task",
            "id2label",
            "label2id",
            "num_labels",
            "return_dict",
            "torchscript",
            "use_return_dict",
            "output_attentions",
            "output_hidden_states",
            "output_scores",
            "chunk_size_feed_forward",
            "bos_token_id",
            "eos_token_id",
            "pad_token_id",
            "unk_token_id",
            "sep_token_id",
            "decoder_start_token_id",
            "begin_suppress_tokens",
            "suppress_tokens",
            "bad_words_ids",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "max_length",
            "min_length",
            "do_sample",
            "temperature",
            "top_k",
            "top_p",
            "typical_p",
            "num_beams",
            "num_beam_groups",
            "diversity_penalty",
            "length_penalty",
            "repetition_penalty",
            "no_repeat_ngram_size",
            "encoder_no_repeat_ngram_size",
            "num_return_sequences",
            "early_stopping",
            "exponential_decay_length_penalty",
            "remove_invalid_values",
            "prefix",
            "cache_implementation",
            "attn_implementation",
            "use_flash_attn",
            "attention_implementation",
            "is_encoder_decoder",
            "tie_encoder_decoder",
            "cross_attention_hidden_size",
            "add_cross_attention",
            "initializer_factor",
            "return_dict_in_generate",
            "tf_legacy_loss",
            "use_bfloat16",
            "transformers.js_config",
            "is_llama_config",
            "is_decoder",
            "max_sequence_length",
            "neftune_noise_alpha",
            "experts_implementation");

    private HarmlessKeys() {}

    /** Whether the value is the one by which files switch something off. */
    static boolean isOff(JsonNode value) {
        return value.isNull()
                || (value.isBoolean() && !value.booleanValue())
                || (value.isNumber() && value.doubleValue() == 0)
                || (value.isContainerNode() && value.isEmpty())
                || (value.isTextual() && value.textValue().isEmpty());
    }

    /** Whether the key may be left unread; keys that begin with an underscore are notes of the writing program. */
    static boolean contains(String key) {
        return key.startsWith("_") || KEYS.contains(key);
    }
}
