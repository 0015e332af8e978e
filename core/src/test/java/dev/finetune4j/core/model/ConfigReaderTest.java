package dev.finetune4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a config.json may say and what it may not. */
class ConfigReaderTest {
    private static ObjectNode config(String name) {
        return TestData.json(TestData.resource("model/" + name).resolve("config.json"))
                .deepCopy();
    }

    private static ModelConfig read(ObjectNode config) {
        String type = config.path("model_type").asText();
        return ModelFamily.ALL.stream()
                .filter(family -> family.modelType().equals(type))
                .findFirst()
                .orElseThrow()
                .read(new ConfigReader(Path.of("config.json"), config));
    }

    @ParameterizedTest
    @CsvSource({
        "num_hidden_layers, 2000000000",
        "num_hidden_layers, 1001",
        "num_attention_heads, 2000000000",
        "num_key_value_heads, 2000000000",
        "head_dim, 2000000000",
        "hidden_size, 2147483647",
        "intermediate_size, 2147483647",
        "vocab_size, 2147483647",
        "max_position_embeddings, 2147483647"
    })
    void aSizeBeyondAnyModelIsRefusedBeforeMemoryIsLaidOut(String key, int size) {
        for (String name : List.of("llama_v4_plain", "gemma2_v4", "gemma3_v4", "mistral_v4", "phi3_longrope_long")) {
            ObjectNode config = config(name);
            config.put(key, size);
            ModelFileException error = assertThrows(ModelFileException.class, () -> read(config));
            assertTrue(error.getMessage().contains("\"" + key + "\" is " + size), error.getMessage());
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "llama_v4_plain | attn_logit_softcapping | 50.0 | attn_logit_softcapping",
                "llama_v4_plain | residual_multiplier | 0.22 | residual_multiplier",
                "llama_v4_plain | hidden_act | \"relu\" | hidden_act",
                "llama_v4_plain | sliding_window | 4 | sliding_window",
                "llama_v4_plain | partial_rotary_factor | 0.5 | partial_rotary_factor",
                "llama_v4_plain | head_dim | 7 | head_dim",
                "llama_v4_plain | num_key_value_heads | 3 | num_key_value_heads",
                "llama_v4_plain | rope_scaling | {\"type\":\"mystery\",\"factor\":2} | mystery",
                "llama_v4_plain | rope_scaling | {\"type\":\"linear\"} | factor",
                "llama_v4_plain | rope_scaling | {\"type\":\"linear\",\"factor\":0} | factor",
                "llama_v4_plain | rope_parameters | {\"rope_type\":\"mrope\",\"rope_theta\":10000} | mrope",
                "llama_v4_plain | rope_theta | -1 | rope_theta",
                "llama_v4_plain | rope_theta | \"big\" | rope_theta",
                "phi3_longrope_long | rope_scaling | {\"type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[1]}"
                        + " | short_factor",
                "gemma2_v4 | layer_types | [\"full_attention\"] | layer_types",
                "gemma2_v4 | layer_types | [\"full_attention\",\"chunked_attention\",\"full_attention\"] | layer_types",
                "gemma2_v4 | attn_logit_softcapping | -1 | attn_logit_softcapping",
                "gemma3_v4 | use_bidirectional_attention | true | use_bidirectional_attention",
                "mistral_v4 | sliding_window | 0 | sliding_window",
                "mistral_v4 | tie_word_embeddings | \"yes\" | tie_word_embeddings",
                "mistral_v4 | sliding_window | 2.5 | \"sliding_window\" must be a whole number",
                "mixtral_window | num_experts_per_tok | 1.5 | \"num_experts_per_tok\" must be a whole number",
                "llama_v4_plain | num_hidden_layers | 2.5 | \"num_hidden_layers\" must be a whole number",
                "llama_v4_plain | rms_norm_eps | -3 | \"rms_norm_eps\" must be at least 0",
                "glm4_plain | rope_parameters | \"abc\" | \"rope_parameters\" must be an object",
                "llama_v4_plain | rope_scaling | [1,2] | \"rope_scaling\" must be an object",
                "stablelm_plain | rope_parameters | 2.5 | \"rope_parameters\" must be an object",
                "gemma3_types | rope_parameters | {\"full_attention\":3} | \"rope_parameters.full_attention\" must be an object",
                "llama_yarn | rope_parameters | {\"rope_type\":\"yarn\",\"factor\":2,\"original_max_position_embeddings\":1000000000000}"
                        + " | is 1000000000000",
            })
    void whatChangesTheNumbersAndIsNotUnderstoodIsAnError(String name, String key, String value, String named) {
        ObjectNode config = config(name);
        config.set(key, TestData.parse(value));
        ModelFileException error = assertThrows(ModelFileException.class, () -> read(config));
        assertTrue(error.getMessage().contains(named), error.getMessage());
        assertTrue(error.getMessage().startsWith("config.json"), error.getMessage());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "_name_or_path | \"someone/model\"",
                "use_cache | true",
                "architectures | [\"LlamaForCausalLM\"]",
                "initializer_range | 0.5",
                "residual_multiplier | null",
                "qk_layernorm | false",
                "attention_dropout | 0.0",
                "attention_dropout | 0.1",
                "sliding_window | 1000000",
                "is_llama_config | true",
                "rope_interleaved | false",
                "nobody_knows_this | 3",
                "task_specific_params | {\"a\":1}",
                "head_dim | null",
                "rope_scaling | null",
            })
    void whatCannotChangeTheNumbersIsIgnored(String key, String value) {
        ObjectNode config = config("llama_v4_plain");
        ModelConfig plain = read(config);
        config.set(key, TestData.parse(value));
        assertEquals(plain, read(config));
    }

    /** transformers writes 0 into each Qwen2-MoE that has no window. */
    @ParameterizedTest
    @ValueSource(strings = {"qwen2_moe_shared", "qwen3_moe_plain", "smollm3_window"})
    void aWindowThatIsSwitchedOffMayBeZero(String name) {
        ObjectNode config = config(name);
        config.remove("layer_types");
        config.put("use_sliding_window", false);
        config.putNull("sliding_window");
        ModelConfig without = read(config);
        config.put("sliding_window", 0);
        assertEquals(without, read(config));
        config.put("use_sliding_window", true);
        assertThrows(ModelFileException.class, () -> read(config));
    }

    /** transformers passes over the parameters of a rope type that the type has no use for. */
    @Test
    void whatARopeTypeHasNoUseForIsIgnored() {
        ObjectNode config = config("llama_v4_plain");
        config.set("rope_scaling", TestData.parse("{\"type\":\"linear\",\"factor\":2}"));
        ModelConfig plain = read(config);
        config.set("rope_scaling", TestData.parse("{\"type\":\"linear\",\"factor\":2,\"warp\":3}"));
        assertEquals(plain, read(config));
    }

    @Test
    void bothSpellingsOfTransformersMeanTheSame() {
        ObjectNode old = config("llama_v4_llama3");
        ObjectNode recent = old.deepCopy();
        ObjectNode rope = (ObjectNode) recent.remove("rope_scaling");
        rope.set("rope_theta", recent.remove("rope_theta"));
        recent.set("rope_parameters", rope);
        recent.set("dtype", recent.remove("torch_dtype"));
        assertEquals(read(old), read(recent));
    }

    @Test
    void gemma3HasRotaryFrequenciesForNearAndFar() {
        ObjectNode old = config("gemma3_v4");
        ObjectNode recent = old.deepCopy();
        recent.remove("rope_theta");
        recent.remove("rope_local_base_freq");
        recent.remove("rope_scaling");
        recent.remove("sliding_window_pattern");
        recent.set(
                "rope_parameters",
                TestData.parse("{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8.0,\"rope_theta\":1000000.0},"
                        + "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":10000.0}}"));
        recent.set("layer_types", TestData.parse("[\"sliding_attention\",\"full_attention\",\"sliding_attention\"]"));
        assertEquals(read(old), read(recent));
    }

    @Test
    void gemma3ReadsThePatternUnderItsPublicNameAlone() {
        ObjectNode config = config("gemma3_v4");
        config.remove("layer_types");
        config.put("sliding_window_pattern", 6);
        ObjectNode other = config.deepCopy();
        other.put("_sliding_window_pattern", 2);
        assertEquals(read(config), read(other));
        other.remove("sliding_window_pattern");
        assertEquals(read(config), read(other));
    }

    @Test
    void checkpointsWithCodeOfTheirOwnAreReferredToTheConvertedForm() {
        ObjectNode config = config("llama_v4_plain");
        config.put("model_type", "chatglm");
        config.putObject("auto_map").put("AutoModel", "modeling_chatglm.ChatGLMModel");
        String message = assertThrows(
                        ModelFileException.class,
                        () -> ModelFamily.readConfig(new ConfigReader(Path.of("config.json"), config)))
                .getMessage();
        assertTrue(message.contains("\"glm\", as zai-org/glm-4-9b-chat-hf is"), message);
        config.put("model_type", "another");
        message = assertThrows(
                        ModelFileException.class,
                        () -> ModelFamily.readConfig(new ConfigReader(Path.of("config.json"), config)))
                .getMessage();
        assertTrue(message.contains("\"auto_map\""), message);
    }
}
