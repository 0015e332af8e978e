package dev.finetune4j.lora.export;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.Adapter;
import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.Fixtures;
import dev.finetune4j.GgufType;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.Portability;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.lora.adapter.Combination;
import dev.finetune4j.lora.reference.GgufModels;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is in exported GGUF files and what is refused; llama.cpp judges the numbers in {@code GgufJudgeTest}. */
class GgufExportTest {
    private static final int HEADS = 4;
    private static final int HEAD = 16;
    private static final int WIDTH = 64;

    @TempDir
    Path folder;

    private static LanguageModel load(Path model) {
        return LanguageModel.loader(model)
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .load();
    }

    private Path tiny() {
        return Fixtures.tinyChatModel(folder.resolve("tiny-model"));
    }

    /** A tiny model with another configuration. */
    private Path changed(Consumer<ObjectNode> change) throws IOException {
        Path model = Fixtures.tinyChatModel(
                Files.createTempDirectory(folder, "changed").resolve("tiny-model"));
        ObjectNode config = (ObjectNode) TestData.json(model.resolve("config.json"));
        change.accept(config);
        new ObjectMapper().writeValue(model.resolve("config.json").toFile(), config);
        return model;
    }

    @Test
    void holdsWeightsTokenizerAndTemplate() throws IOException {
        Path model = tiny();
        Path file = folder.resolve("new/model.gguf");
        try (LanguageModel loaded = load(model)) {
            loaded.export(file, ModelFormat.gguf(GgufType.F32));
        }
        GgufContent content = GgufContent.read(file);
        assertEquals("llama", content.metadata().get("general.architecture"));
        assertEquals("tiny-model", content.metadata().get("general.name"));
        assertEquals(256L, content.metadata().get("llama.context_length"));
        assertEquals(5_000_000f, content.metadata().get("llama.rope.freq_base"));
        assertEquals("gpt2", content.metadata().get("tokenizer.ggml.model"));
        assertEquals("dbrx", content.metadata().get("tokenizer.ggml.pre"));
        assertEquals(500, ((List<?>) content.metadata().get("tokenizer.ggml.tokens")).size());
        assertEquals(3, ((List<?>) content.metadata().get("tokenizer.ggml.token_type")).get(2));
        assertEquals(
                Files.readString(model.resolve("chat_template.jinja")),
                content.metadata().get("tokenizer.chat_template"));
        try (SafetensorsFile weights = SafetensorsFile.open(model.resolve("model.safetensors"))) {
            assertEquals(weights.names().size(), content.tensors().size());
            assertArrayEquals(
                    TensorData.floats(weights, "model.layers.1.mlp.down_proj.weight"),
                    content.tensors().get("blk.1.ffn_down.weight").numbers());
            float[] query = TensorData.floats(weights, "model.layers.0.self_attn.q_proj.weight");
            float[] stored = content.tensors().get("blk.0.attn_q.weight").numbers();
            for (int row = 0; row < HEADS * HEAD; row++) {
                int channel = row % HEAD;
                int from = row - channel + channel / 2 + channel % 2 * HEAD / 2;
                for (int i = 0; i < WIDTH; i++) {
                    assertEquals(query[from * WIDTH + i], stored[row * WIDTH + i], "row " + row);
                }
            }
        }
    }

    @Test
    void roundsMatricesOnly() throws IOException {
        Path file = folder.resolve("model.gguf");
        try (LanguageModel loaded = load(tiny())) {
            loaded.export(file, ModelFormat.gguf(GgufType.BF16));
        }
        GgufContent content = GgufContent.read(file);
        assertEquals(30, content.tensors().get("output.weight").type());
        assertEquals(0, content.tensors().get("output_norm.weight").type());
        assertEquals(0, content.tensors().get("blk.0.ffn_norm.weight").type());
        assertEquals(32L, content.metadata().get("general.file_type"));
    }

    @Test
    void biasesOfNormsAreWrittenAndNormsOfSingleHeadsAreOneTensor() throws IOException {
        Path source = Path.of("../core/src/test/resources/model/stablelm_norms");
        Path file = folder.resolve("stablelm.gguf");
        try (LanguageModel loaded = load(GgufModels.withPlaceholders(source, folder.resolve("stablelm")))) {
            loaded.export(file, ModelFormat.gguf(GgufType.BF16));
        }
        GgufContent content = GgufContent.read(file);
        assertEquals("stablelm", content.metadata().get("general.architecture"));
        assertEquals(4L, content.metadata().get("stablelm.rope.dimension_count"));
        assertEquals(1e-3f, content.metadata().get("stablelm.attention.layer_norm_epsilon"));
        assertEquals(false, content.metadata().get("stablelm.use_parallel_residual"));
        try (SafetensorsFile weights = SafetensorsFile.open(source.resolve("model.safetensors"))) {
            GgufContent.Stored bias = content.tensors().get("blk.0.ffn_norm.bias");
            assertEquals(0, bias.type(), "it is not rounded");
            assertArrayEquals(
                    TensorData.floats(weights, "model.layers.0.post_attention_layernorm.bias"), bias.numbers());
            GgufContent.Stored norms = content.tensors().get("blk.0.attn_q_norm.weight");
            assertEquals(0, norms.type(), "they are not rounded");
            assertEquals(List.of(4L, 8L), norms.shape());
            for (int head = 0; head < 4; head++) {
                assertArrayEquals(
                        TensorData.floats(weights, "model.layers.0.self_attn.q_layernorm.norms." + head + ".weight"),
                        Arrays.copyOfRange(norms.numbers(), head * 8, head * 8 + 8));
            }
            assertEquals(
                    List.of(2L, 8L),
                    content.tensors().get("blk.0.attn_k_norm.weight").shape());
        }
    }

    @Test
    void aFeedForwardPartWithoutAGateIsUpAndDown() throws IOException {
        Path source = Path.of("../core/src/test/resources/model/starcoder2_plain");
        Path file = folder.resolve("starcoder2.gguf");
        try (LanguageModel loaded = load(GgufModels.withPlaceholders(source, folder.resolve("starcoder2")))) {
            loaded.export(file, ModelFormat.gguf(GgufType.F32));
        }
        GgufContent content = GgufContent.read(file);
        assertEquals("starcoder2", content.metadata().get("general.architecture"));
        try (SafetensorsFile weights = SafetensorsFile.open(source.resolve("model.safetensors"))) {
            assertEquals(weights.names().size(), content.tensors().size());
            for (String end : List.of("weight", "bias")) {
                assertArrayEquals(
                        TensorData.floats(weights, "model.layers.1.mlp.c_fc." + end),
                        content.tensors().get("blk.1.ffn_up." + end).numbers());
                assertArrayEquals(
                        TensorData.floats(weights, "model.layers.1.mlp.c_proj." + end),
                        content.tensors().get("blk.1.ffn_down." + end).numbers());
            }
        }
    }

    @Test
    void gemmaIsWrittenAsItIsMultiplied() throws IOException {
        Path model = GgufModels.withPlaceholders(Fixtures.tinyModel("gemma2"), folder.resolve("gemma"));
        Path file = folder.resolve("gemma.gguf");
        try (LanguageModel loaded = load(model)) {
            loaded.export(file, ModelFormat.gguf(GgufType.F32));
        }
        GgufContent content = GgufContent.read(file);
        try (SafetensorsFile weights = SafetensorsFile.open(model.resolve("model.safetensors"))) {
            float[] norm = TensorData.floats(weights, "model.layers.0.pre_feedforward_layernorm.weight");
            float[] storedNorm = content.tensors().get("blk.0.ffn_norm.weight").numbers();
            float[] query = TensorData.floats(weights, "model.layers.0.self_attn.q_proj.weight");
            float[] storedQuery = content.tensors().get("blk.0.attn_q.weight").numbers();
            double factor = Math.sqrt(16.0 / 20); // head_dim and query_pre_attn_scalar
            for (int i = 0; i < norm.length; i++) {
                assertEquals(norm[i] + 1, storedNorm[i], 1e-6);
            }
            for (int i = 0; i < query.length; i++) {
                assertEquals(query[i] * factor, storedQuery[i], 1e-6);
            }
        }
        assertFalse(content.tensors().containsKey("output.weight"), "a tied head is not written");
        assertEquals(5L, content.metadata().get("gemma2.attention.sliding_window"));
    }

    @Test
    void refusesWindowsInOtherLayersThanLlamaCppHasThem() throws IOException {
        Path model = GgufModels.withPlaceholders(Fixtures.tinyModel("gemma3"), folder.resolve("gemma"));
        try (LanguageModel loaded = load(model)) {
            SettingsException refused = assertThrows(
                    SettingsException.class,
                    () -> loaded.export(folder.resolve("gemma.gguf"), ModelFormat.gguf(GgufType.F32)));
            assertTrue(refused.getMessage().contains("layer 1 has no attention window"), refused.getMessage());
        }
    }

    /** Five of six layers of gemma3 have a window in llama.cpp, and no scaling, also where config.json gives none a window. */
    @Test
    void refusesScalingOfLayersThatHaveAWindowInLlamaCpp() throws IOException {
        Path model = GgufModels.withPlaceholders(Fixtures.tinyModel("gemma3"), folder.resolve("gemma"));
        ObjectNode config = (ObjectNode) TestData.json(model.resolve("config.json"));
        int layers = config.path("num_hidden_layers").intValue();
        ArrayNode types = config.putArray("layer_types");
        IntStream.range(0, layers).forEach(i -> types.add("full_attention"));
        config.putObject("rope_scaling").put("rope_type", "linear").put("factor", 8.0);
        new ObjectMapper().writeValue(model.resolve("config.json").toFile(), config);
        try (LanguageModel loaded = load(model)) {
            SettingsException refused = assertThrows(
                    SettingsException.class,
                    () -> loaded.export(folder.resolve("gemma.gguf"), ModelFormat.gguf(GgufType.F32)));
            assertEquals(1, refused.problems().size(), refused.getMessage());
            assertTrue(refused.getMessage().contains("rope scaling of the layers with a window"), refused.getMessage());
        }
    }

    @Test
    void refusesAWindowThatTheContextReachesBeyond() throws IOException {
        Path model = changed(config -> config.put("model_type", "mistral").put("sliding_window", 16));
        Path file = folder.resolve("model.gguf");
        try (LanguageModel loaded = load(model)) {
            SettingsException refused =
                    assertThrows(SettingsException.class, () -> loaded.export(file, ModelFormat.gguf(GgufType.F32)));
            assertTrue(refused.getMessage().contains("contextLength(16)"), refused.getMessage());
            assertFalse(Files.exists(file));
            loaded.export(file, ModelFormat.gguf(GgufType.F32).contextLength(16));
        }
        assertEquals(16L, GgufContent.read(file).metadata().get("llama.context_length"));
    }

    /** A model with YaRN on heads of 16 channels: by the usual values its ramp goes from channel 0 to channel 3. */
    private Path yarn(Consumer<ObjectNode> change) throws IOException {
        return changed(config -> change.accept(config.putObject("rope_parameters")
                .put("rope_type", "yarn")
                .put("rope_theta", 10_000.0)
                .put("factor", 4.0)
                .put("original_max_position_embeddings", 64)));
    }

    private Map<String, Object> metadata(Path model) throws IOException {
        Path file = folder.resolve("model.gguf");
        try (LanguageModel loaded = load(model)) {
            loaded.export(file, ModelFormat.gguf(GgufType.F32));
        }
        return GgufContent.read(file).metadata();
    }

    @Test
    void yarnHasTheKeysThatLlamaCppReads() throws IOException {
        String scaling = "llama.rope.scaling.";
        Map<String, Object> usual = metadata(yarn(rope -> {}));
        assertEquals("yarn", usual.get(scaling + "type"));
        assertEquals(4f, usual.get(scaling + "factor"));
        assertEquals(64L, usual.get(scaling + "original_context_length"));
        for (String key : List.of("attn_factor", "yarn_beta_fast", "yarn_beta_slow", "yarn_log_multiplier")) {
            assertFalse(usual.containsKey(scaling + key), key);
        }
        Map<String, Object> given = metadata(yarn(
                rope -> rope.put("attention_factor", 1.5).put("beta_fast", 16.0).put("beta_slow", 1.01)));
        double growth = 1 + 0.1 * Math.log(4);
        assertEquals(1.5 / growth, (float) given.get(scaling + "attn_factor"), 1e-6);
        assertEquals(16f, given.get(scaling + "yarn_beta_fast"), "makes no difference to the ramp");
        assertEquals(1.01f, given.get(scaling + "yarn_beta_slow"), "nor does this");
        Map<String, Object> scaled =
                metadata(yarn(rope -> rope.put("mscale", 1.0).put("mscale_all_dim", 0.5)));
        double expected = growth / (1 + 0.05 * Math.log(4)) / growth;
        assertEquals(expected, (float) scaled.get(scaling + "attn_factor"), 1e-6);
    }

    @Test
    void refusesARampOfYarnThatLlamaCppDoesNotCompute() throws IOException {
        refusesYarn(rope -> rope.put("beta_slow", 2.0), "\"beta_slow\": 2.0 of");
        refusesYarn(
                rope -> rope.put("beta_fast", 4.0).put("beta_slow", 0.25),
                "\"beta_fast\": 4.0 and \"beta_slow\": 0.25 of");
        refusesYarn(rope -> rope.put("truncate", false), "\"truncate\": false of");
        refusesYarn(rope -> rope.put("factor", 0.5), "the factor 0.5 of");
    }

    private void refusesYarn(Consumer<ObjectNode> change, String what) throws IOException {
        Path model = yarn(change);
        try (LanguageModel loaded = load(model)) {
            SettingsException refused = assertThrows(
                    SettingsException.class,
                    () -> loaded.export(folder.resolve("model.gguf"), ModelFormat.gguf(GgufType.F32)));
            assertEquals(1, refused.problems().size(), refused.getMessage());
            assertTrue(refused.getMessage().contains(what), refused.getMessage());
        }
    }

    @Test
    void namesAllThatItCannotHold() throws IOException {
        Path model = changed(config -> {
            config.put("hidden_act", "gelu");
            config.putObject("rope_parameters")
                    .put("rope_type", "dynamic")
                    .put("factor", 2.0)
                    .put("rope_theta", 10_000.0);
        });
        try (LanguageModel loaded = load(model)) {
            SettingsException refused = assertThrows(
                    SettingsException.class,
                    () -> loaded.export(folder.resolve("model.gguf"), ModelFormat.gguf(GgufType.F16)));
            assertEquals(2, refused.problems().size(), refused.getMessage());
            assertTrue(refused.problems().get(0).contains("activation"), refused.getMessage());
            assertTrue(refused.problems().get(1).contains("dynamic"), refused.getMessage());
        }
    }

    @Test
    void aModelThatWasTrainedWholeIsWrittenAsTrained() throws IOException {
        Path file = folder.resolve("model.gguf");
        Path again = folder.resolve("again.gguf");
        try (FineTunedModel tuned = FineTuner.builder()
                .model(tiny())
                .dataset(Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?"))
                .device(ComputeDevice.cpu())
                .full()
                .training(t -> t.maxSteps(1))
                .train()) {
            tuned.export(file, ModelFormat.gguf(GgufType.F32));
            tuned.base().export(again, ModelFormat.gguf(GgufType.F32));
        }
        assertArrayEquals(Files.readAllBytes(file), Files.readAllBytes(again));
        float[] trained =
                GgufContent.read(file).tensors().get("blk.0.ffn_up.weight").numbers();
        try (SafetensorsFile weights =
                SafetensorsFile.open(folder.resolve("tiny-model").resolve("model.safetensors"))) {
            float[] before = TensorData.floats(weights, "model.layers.0.mlp.up_proj.weight");
            assertTrue(!java.util.Arrays.equals(before, trained), "the weights before the training were written");
        }
    }

    @Test
    void anAdapterIsAFileOfItsOwn() throws IOException {
        Path file = folder.resolve("adapter.gguf");
        try (LanguageModel loaded = load(tiny());
                Adapter adapter = loaded.loadAdapter(Fixtures.reference("adapters/lora_qv_alpha8"))) {
            adapter.saveGguf(file, GgufType.F32);
        }
        GgufContent content = GgufContent.read(file);
        assertEquals("adapter", content.metadata().get("general.type"));
        assertEquals(8f, content.metadata().get("adapter.lora.alpha"));
        assertEquals(8, content.tensors().size()); // A and B of queries and values in two blocks
        Path stored = Fixtures.reference("adapters/lora_qv_alpha8/adapter_model.safetensors");
        try (SafetensorsFile weights = SafetensorsFile.open(stored)) {
            String value = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight";
            assertArrayEquals(
                    TensorData.floats(weights, value),
                    content.tensors().get("blk.1.attn_v.weight.lora_b").numbers());
        }
    }

    @Test
    void ollamaGetsTheChatTemplateInItsLanguage() throws IOException {
        Path target = folder.resolve("ollama");
        try (LanguageModel loaded = load(tiny())) {
            loaded.export(target, ModelFormat.ollama(GgufType.F16));
        }
        assertTrue(GgufContent.read(target.resolve("model.gguf")).tensors().containsKey("output.weight"));
        assertEquals("""
                FROM ./model.gguf
                TEMPLATE \"""{{ range .Messages }}{{ if eq .Role "system" }}<|im_start|>system
                {{ .Content }}<|im_end|>
                {{ else if eq .Role "user" }}<|im_start|>user
                {{ .Content }}<|im_end|>
                {{ else if eq .Role "assistant" }}<|im_start|>assistant
                {{ .Content }}<|im_end|>
                {{ end }}{{ end }}<|im_start|>assistant
                \"""
                PARAMETER stop \"""<|im_end|>\"""
                """, Files.readString(target.resolve("Modelfile")));
    }

    @Test
    void aTemplateThatOllamaCannotSayIsRefused() throws IOException {
        Path model = tiny();
        Files.writeString(
                model.resolve("chat_template.jinja"),
                "{% for m in messages %}{{ loop.index }}: {{ m.content }}\n{% endfor %}");
        try (LanguageModel loaded = load(model)) {
            SettingsException refused = assertThrows(
                    SettingsException.class,
                    () -> loaded.export(folder.resolve("ollama"), ModelFormat.ollama(GgufType.F16)));
            assertTrue(refused.getMessage().contains("Modelfile"), refused.getMessage());
            assertFalse(Files.exists(folder.resolve("ollama")), "something was written");
        }
    }

    @Test
    void saysWhatWouldNotCarryOver() {
        try (LanguageModel loaded = load(tiny());
                Adapter plain = loaded.loadAdapter(Fixtures.reference("adapters/lora_qv_alpha8"))) {
            Portability portability = plain.portability();
            assertEquals(List.of(), portability.differences());
            assertTrue(portability.isPortableTo(Portability.Program.LLAMA_CPP));
        }
        try (FineTunedModel tuned = FineTuner.builder()
                .model(folder.resolve("tiny-model"))
                .dataset(Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?"))
                .device(ComputeDevice.cpu())
                .lora(l -> l.rank(20).useDora(true).modulesToSave("lm_head"))
                .training(t -> t.maxSteps(1))
                .train()) {
            Portability portability = tuned.adapter().orElseThrow().portability();
            assertTrue(portability.isPortableTo(Portability.Program.PEFT));
            assertFalse(portability.isPortableTo(Portability.Program.VLLM));
            assertFalse(portability.isPortableTo(Portability.Program.LLAMA_CPP));
            String text = portability.toString();
            assertTrue(text.contains("--max-lora-rank 32") && text.contains("lm_head") && text.contains("DoRA"), text);
        }
    }

    @Test
    void combinedAdaptersAreSavedAsANewOne() {
        Path saved = folder.resolve("combined");
        try (LanguageModel loaded = load(tiny());
                Adapter one = loaded.loadAdapter(Fixtures.reference("adapters/lora_qv_alpha8"));
                Adapter two = loaded.loadAdapter(Fixtures.reference("adapters/lora"))) {
            assertThrows(
                    SettingsException.class,
                    () -> Adapter.combine(
                            Combination.of(Combination.Type.LINEAR), one.weighted(0.5), two.weighted(0.5)));
            try (Adapter both =
                    Adapter.combine(Combination.of(Combination.Type.CAT), one.weighted(0.5), two.weighted(0.5))) {
                both.save(saved);
                String answer = answer(both);
                try (Adapter again = loaded.loadAdapter(saved)) {
                    assertEquals(answer, answer(again));
                }
            }
        }
    }

    private static String answer(ChatModel model) {
        try (ChatSession session =
                model.chat(GenerationSettings.builder().maxNewTokens(8).build())) {
            return session.send("Hello");
        }
    }
}
