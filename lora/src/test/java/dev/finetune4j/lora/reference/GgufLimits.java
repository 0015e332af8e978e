package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * What llama.cpp cannot compute of a model, told from its config.json alone: which layers of an architecture have a window, experts or a
 * rotary embedding is fixed in its code, as is where it looks for biases and norms. A model is to be refused for these reasons and
 * for no others.
 */
final class GgufLimits {
    private static final String QKV_BIAS = "biases of queries, keys and values";
    private static final String OUTPUT_BIAS = "a bias of attention's output projection";

    /** Whose windows llama.cpp knows. */
    private static final Set<String> HAVE_WINDOWS = Set.of("gemma", "gemma2", "gemma3_text", "cohere2");

    private static final int PATTERN = 4;
    private static final int COMMAND_R_PLUS = 64;

    private final JsonNode config;
    private final List<String> reasons = new ArrayList<>();

    private GgufLimits(JsonNode config) {
        this.config = config;
    }

    /** The longest text for which a model without windows computes the same; 0 for any. */
    static int window(JsonNode config) {
        return HAVE_WINDOWS.contains(config.path("model_type").asText())
                ? 0
                : config.path("sliding_window").asInt(0);
    }

    /** Compares the problems of a refusal, none where a file was written, with what llama.cpp cannot compute. */
    static void assertRightlyRefused(JsonNode config, List<String> problems) {
        List<String> expected = new GgufLimits(config).reasons();
        assertEquals(
                expected.size(), problems.size(), () -> "expected to be refused: " + expected + ", was: " + problems);
        for (String reason : expected) {
            assertTrue(
                    problems.stream().anyMatch(problem -> problem.contains(reason)),
                    () -> "no refusal for " + reason + ": " + problems);
        }
    }

    private List<String> reasons() {
        JsonNode rope = config.has("rope_parameters") ? config.path("rope_parameters") : config.path("rope_scaling");
        refuse(
                rope.path("rope_type").asText(rope.path("type").asText()).equals("dynamic"),
                "the rope type \"dynamic\"");
        refuse(
                rope.path("rope_type").asText(rope.path("type").asText()).equals("yarn") && !hasUsualRamp(rope),
                "of the rope type \"yarn\"");
        switch (config.path("model_type").asText()) {
            case "qwen3", "olmo2" -> biases();
            case "qwen2" -> width();
            case "qwen2_moe" -> {
                width();
                experts(false);
            }
            case "qwen3_moe" -> {
                biases();
                experts(true);
            }
            case "smollm3" -> {
                biases();
                refuse(flag("mlp_bias"), "biases of the feed-forward part");
                rotations();
            }
            case "cohere" -> {
                biases();
                refuse(flag("use_qk_norm") != layers() >= COMMAND_R_PLUS, "norms of queries and keys");
                refuse(
                        !config.path("tie_word_embeddings").asBoolean(true),
                        "a head that shares the embedding's weight");
            }
            case "cohere2" -> {
                biases();
                refuse(
                        !config.path("tie_word_embeddings").asBoolean(true),
                        "a head that shares the embedding's weight");
                windows();
            }
            case "stablelm" -> width();
            case "starcoder2" -> {
                width();
                boolean biases = config.path("use_bias").asBoolean(true);
                refuse(!biases, QKV_BIAS);
                refuse(!biases, OUTPUT_BIAS);
                refuse(!biases, "biases of the feed-forward part");
                refuse(
                        !config.path("hidden_act").asText("gelu_pytorch_tanh").equals("gelu_pytorch_tanh"),
                        "the activation");
            }
            default -> {}
        }
        return reasons;
    }

    private void refuse(boolean when, String reason) {
        if (when) {
            reasons.add(reason);
        }
    }

    /** Whether the ramp of YaRN begins and ends at the channels where it does by llama.cpp's own values. */
    private boolean hasUsualRamp(JsonNode rope) {
        double fast = rope.path("beta_fast").asDouble(32);
        double slow = rope.path("beta_slow").asDouble(1);
        return rope.path("truncate").asBoolean(true)
                && Math.max(0, Math.floor(turning(rope, fast))) == Math.max(0, Math.floor(turning(rope, 32)))
                && Math.ceil(turning(rope, slow)) == Math.ceil(turning(rope, 1));
    }

    /** The channel that makes so many turns within the original positions. */
    private double turning(JsonNode rope, double turns) {
        int channels = config.path("head_dim").asInt(size("hidden_size") / size("num_attention_heads"));
        double theta =
                rope.path("rope_theta").asDouble(config.path("rope_theta").asDouble());
        double positions = rope.path("original_max_position_embeddings").asDouble();
        return channels * Math.log(positions / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
    }

    private boolean flag(String key) {
        return config.path(key).asBoolean(false);
    }

    private int size(String key) {
        return config.path(key).intValue();
    }

    private int layers() {
        return size("num_hidden_layers");
    }

    private void biases() {
        refuse(flag("attention_bias"), QKV_BIAS);
        refuse(flag("attention_bias"), OUTPUT_BIAS);
    }

    private void width() {
        int head = config.path("head_dim").asInt(size("hidden_size") / size("num_attention_heads"));
        refuse(head * size("num_attention_heads") != size("hidden_size"), "the width of all heads");
    }

    private void experts(boolean normalised) {
        boolean mixed = !config.path("mlp_only_layers").isEmpty()
                || config.path("decoder_sparse_step").asInt(1) > 1;
        refuse(mixed, "has a dense feed-forward part");
        boolean all = size("num_experts_per_tok") == size("num_experts");
        refuse(flag("norm_topk_prob") != normalised && !all, "norm_topk_prob");
    }

    /** Each fourth layer of SmolLM3 is without a rotary embedding. */
    private void rotations() {
        JsonNode given = config.path("no_rope_layers");
        int interval = config.path("no_rope_layer_interval").asInt(PATTERN);
        boolean same = true;
        for (int i = 0; i < layers(); i++) {
            boolean rotated = given.isArray() ? given.path(i).asInt() != 0 : (i + 1) % interval != 0;
            same &= rotated == ((i + 1) % PATTERN != 0);
        }
        refuse(!same, "rotary embedding");
    }

    /** Each fourth layer of Command R7B sees all tokens and is without a rotary embedding. */
    private void windows() {
        JsonNode given = config.path("layer_types");
        int pattern = config.path("sliding_window_pattern").asInt(PATTERN);
        boolean same = true;
        for (int i = 0; i < layers(); i++) {
            boolean windowed = given.isArray() ? given.path(i).asText().startsWith("sliding") : (i + 1) % pattern != 0;
            same &= windowed == ((i + 1) % PATTERN != 0);
        }
        refuse(!same, "rotary embedding");
        refuse(!same, "attention window");
    }
}
