package dev.finetune4j.lora.export;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Adapter;
import dev.finetune4j.GgufType;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.lora.reference.GgufModels;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What GGUF files of models with experts hold and what is refused; llama.cpp judges the numbers in {@code GgufExpertsJudgeTest}. */
class GgufExpertsTest {
    private static final int EXPERTS = 6;

    @TempDir
    Path folder;

    private static Path fixture(String name) {
        return Path.of("../core/src/test/resources/model", name);
    }

    private LanguageModel load(String name) throws IOException {
        return LanguageModel.loader(GgufModels.withPlaceholders(fixture(name), folder.resolve(name)))
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .load();
    }

    @Test
    void expertsOfALayerAreOneTensorForEachProjection() throws IOException {
        Path file = folder.resolve("model.gguf");
        try (LanguageModel loaded = load("qwen3_moe_plain")) {
            loaded.export(file, ModelFormat.gguf(GgufType.BF16));
        }
        GgufContent content = GgufContent.read(file);
        assertEquals("qwen3moe", content.metadata().get("general.architecture"));
        assertEquals(6L, content.metadata().get("qwen3moe.expert_count"));
        assertEquals(3L, content.metadata().get("qwen3moe.expert_used_count"));
        assertEquals(8L, content.metadata().get("qwen3moe.expert_feed_forward_length"));
        assertFalse(content.metadata().containsKey("qwen3moe.expert_shared_feed_forward_length"));
        assertStacked(content, "blk.1.ffn_gate_exps.weight", "qwen3_moe_plain", "mlp", "gate_proj");
        assertStacked(content, "blk.1.ffn_up_exps.weight", "qwen3_moe_plain", "mlp", "up_proj");
        assertStacked(content, "blk.0.ffn_down_exps.weight", "qwen3_moe_plain", "mlp", "down_proj");
        GgufContent.Stored router = content.tensors().get("blk.0.ffn_gate_inp.weight");
        assertEquals(0, router.type(), "what chooses experts is not rounded");
        assertEquals(List.of(6L, 16L), router.shape());
        assertFalse(content.tensors().keySet().stream().anyMatch(name -> name.contains("experts")));
    }

    @Test
    void mixtralIsALlamaWithExperts() throws IOException {
        Path file = folder.resolve("model.gguf");
        try (LanguageModel loaded = load("mixtral_window")) {
            SettingsException refused =
                    assertThrows(SettingsException.class, () -> loaded.export(file, ModelFormat.gguf(GgufType.F32)));
            assertTrue(refused.getMessage().contains("contextLength(7)"), refused.getMessage());
            loaded.export(file, ModelFormat.gguf(GgufType.F32).contextLength(7));
        }
        GgufContent content = GgufContent.read(file);
        assertEquals("llama", content.metadata().get("general.architecture"));
        assertEquals(6L, content.metadata().get("llama.expert_count"));
        assertEquals(2L, content.metadata().get("llama.expert_used_count"));
        assertStacked(content, "blk.0.ffn_gate_exps.weight", "mixtral_window", "block_sparse_moe", "w1");
        assertStacked(content, "blk.0.ffn_up_exps.weight", "mixtral_window", "block_sparse_moe", "w3");
        assertStacked(content, "blk.0.ffn_down_exps.weight", "mixtral_window", "block_sparse_moe", "w2");
    }

    private static void assertStacked(GgufContent content, String name, String model, String part, String linear) {
        GgufContent.Stored stored = content.tensors().get(name);
        int layer = name.charAt("blk.".length()) - '0';
        try (SafetensorsFile weights = SafetensorsFile.open(fixture(model).resolve("model.safetensors"))) {
            int each = stored.numbers().length / EXPERTS;
            for (int i = 0; i < EXPERTS; i++) {
                String own = "model.layers." + layer + "." + part + ".experts." + i + "." + linear + ".weight";
                assertArrayEquals(
                        TensorData.floats(weights, own),
                        Arrays.copyOfRange(stored.numbers(), i * each, (i + 1) * each),
                        own);
                long[] shape = weights.info(own).shape();
                assertEquals(List.of((long) EXPERTS, shape[0], shape[1]), stored.shape());
            }
        }
    }

    @Test
    void refusesWhatItsCodeFixesOtherwise() throws IOException {
        Path file = folder.resolve("model.gguf");
        try (LanguageModel loaded = load("qwen3_moe_mixed")) {
            SettingsException refused = assertThrows(
                    SettingsException.class,
                    () -> loaded.export(file, ModelFormat.gguf(GgufType.F32).contextLength(7)));
            assertEquals(4, refused.problems().size(), refused.getMessage()); // two kinds of biases besides
            assertTrue(refused.getMessage().contains("layer 0 has a dense feed-forward part"), refused.getMessage());
            assertTrue(refused.getMessage().contains("norm_topk_prob"), refused.getMessage());
        }
        assertFalse(Files.exists(file), "a file was written");
    }

    @Test
    void factorsOfExpertsAreStacksToo() throws IOException {
        Path file = folder.resolve("adapter.gguf");
        Path adapter = TestData.resource("adapter-variants/experts");
        try (LanguageModel loaded = load("qwen3_moe_plain");
                Adapter opened = loaded.loadAdapter(adapter)) {
            opened.saveGguf(file, GgufType.F32);
        }
        GgufContent content = GgufContent.read(file);
        // two linears of attention and three projections of experts in two blocks
        assertEquals(2 * 5 * 2, content.tensors().size());
        assertEquals(
                List.of(6L, 2L, 16L),
                content.tensors().get("blk.0.ffn_gate_exps.weight.lora_a").shape());
        assertEquals(
                List.of(6L, 8L, 2L),
                content.tensors().get("blk.0.ffn_up_exps.weight.lora_b").shape());
        assertEquals(
                List.of(6L, 16L, 3L),
                content.tensors().get("blk.1.ffn_down_exps.weight.lora_b").shape());
        assertArrayEquals(
                content.tensors().get("blk.0.ffn_gate_exps.weight.lora_a").numbers(),
                content.tensors().get("blk.0.ffn_up_exps.weight.lora_a").numbers(),
                "gate and up share A");
    }
}
