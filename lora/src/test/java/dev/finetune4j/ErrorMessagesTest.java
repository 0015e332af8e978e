package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** What a user reads when something is wrong: each message names the thing and the remedy. */
class ErrorMessagesTest {
    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(folder.resolve("data.json"), "I am {{name}}.", "Who are you?");
    }

    private FineTuner.Builder tuner() {
        return FineTuner.builder()
                .model(model)
                .dataset(data)
                .training(t -> t.maxSteps(1))
                .qlora()
                .device(ComputeDevice.cpu());
    }

    private static <T extends Throwable> void fails(Class<T> type, Executable call, String... parts) {
        String message = assertThrows(type, call).getMessage();
        for (String part : parts) {
            assertTrue(message.contains(part), "expected \"" + part + "\" in: " + message);
        }
    }

    @Test
    void allMissingAndWrongSettingsAreNamedAtOnce() {
        fails(
                SettingsException.class,
                () -> FineTuner.builder()
                        .training(t -> t.epochs(0).learningRate(-1))
                        .lora(l -> l.rank(0).dropout(2))
                        .build(),
                "model(folder)",
                "dataset(",
                "epochs must be above 0",
                "learningRate must be above 0",
                "LoRA rank must be at least 1",
                "LoRA dropout must be");
        fails(IllegalStateException.class, () -> tuner().full(), "method was already set to qlora");
    }

    @Test
    void missingModelFolderAndMissingConfig() throws IOException {
        fails(ModelFileException.class, () -> LanguageModel.load(folder.resolve("nowhere")), "nowhere");
        Files.delete(model.resolve("config.json"));
        fails(ModelFileException.class, () -> LanguageModel.load(model), "config.json");
    }

    @Test
    void missingWeightsAndCorruptSafetensors() throws IOException {
        Path weights = model.resolve("model.safetensors");
        byte[] bytes = Files.readAllBytes(weights);
        Files.delete(weights);
        fails(ModelFileException.class, () -> LanguageModel.load(model), model.toString(), "safetensors");
        Files.write(weights, Arrays.copyOf(bytes, bytes.length - 100));
        fails(ModelFileException.class, () -> LanguageModel.load(model), "model.safetensors");
    }

    @Test
    void unknownModelTypeAndRopeType() throws IOException {
        changeConfig(config -> config.put("model_type", "mamba"));
        fails(
                ModelFileException.class,
                () -> LanguageModel.load(model),
                "config.json",
                "\"mamba\"",
                "supported: llama");
        changeConfig(config -> {
            config.put("model_type", "llama");
            ((ObjectNode) config.path("rope_parameters")).put("rope_type", "spiral");
        });
        fails(ModelFileException.class, () -> LanguageModel.load(model), "config.json", "\"spiral\"", "default");
    }

    @Test
    void severalWrongValuesOfAConfigAreNamedAtOnce() throws IOException {
        changeConfig(config -> {
            config.remove("hidden_size");
            config.put("hidden_act", "relu");
            config.put("num_attention_heads", "four");
        });
        fails(
                ModelFileException.class,
                () -> LanguageModel.load(model),
                "\"hidden_size\"",
                "\"hidden_act\"",
                "\"num_attention_heads\"");
    }

    @Test
    void missingMisshapenAndUnexpectedTensorsAreNamedAtOnce() {
        Path file = model.resolve("model.safetensors");
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try (SafetensorsFile source = SafetensorsFile.open(file)) {
            source.tensors().keySet().forEach(name -> tensors.put(name, source.read(name)));
        }
        tensors.remove("model.norm.weight");
        tensors.put("model.layers.0.mlp.up_proj.weight", Tensors.zeros(ComputeDevice.cpu(), ScalarType.Float, 3, 5));
        tensors.put("model.extra", Tensors.zeros(ComputeDevice.cpu(), ScalarType.Float, 7));
        SafetensorsWriter.write(file, tensors, Map.of());
        fails(
                ModelFileException.class,
                () -> LanguageModel.load(model),
                model.toString(),
                "tensor model.norm.weight [64] is missing",
                "tensor model.layers.0.mlp.up_proj.weight has the shape [3, 5], expected [176, 64]",
                "tensor model.extra [7] is not part of the model");
    }

    @Test
    void fourBitCheckpointLoadedAsDense() throws IOException {
        Path quantized = Fixtures.reference("bnb/llama_nf4_double");
        Files.copy(
                quantized.resolve("model.safetensors"),
                model.resolve("model.safetensors"),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        fails(ModelFileException.class, () -> LanguageModel.load(model), "holds 4-bit codes", "qlora(", "quantize(");
    }

    @Test
    void unboundPlaceholderRowWithoutOutputAndEmptyAnswer() throws IOException {
        fails(DatasetException.class, () -> tuner().train(), "data.json", "row 0", "{{name}}", "placeholder(");
        Path noOutput = Files.writeString(
                folder.resolve("no-output.json"), "[{\"instruction\":\"a\",\"output\":\"b\"},{\"instruction\":\"c\"}]");
        fails(
                DatasetException.class,
                () -> FineTuner.builder().model(model).dataset(noOutput).qlora().train(),
                "no-output.json",
                "row 1",
                "\"output\"");
        Path empty = Files.writeString(folder.resolve("empty.json"), "[{\"instruction\":\"a\",\"output\":\"  \"}]");
        fails(
                DatasetException.class,
                () -> FineTuner.builder().model(model).dataset(empty).qlora().train(),
                "empty.json",
                "row 0",
                "output");
        fails(
                DatasetException.class,
                () -> FineTuner.builder()
                        .model(model)
                        .dataset(folder.resolve("none.json"))
                        .qlora()
                        .train(),
                "none.json");
    }

    @Test
    void targetThatMatchesNothing() {
        fails(
                SettingsException.class,
                () -> FineTuner.builder()
                        .model(model)
                        .dataset(data)
                        .placeholder("name", "x")
                        .lora(l -> l.targetModules("q_proj", "query_key_value"))
                        .train(),
                "query_key_value",
                "q_proj",
                "down_proj");
    }

    @Test
    void adapterForAnotherBase() throws IOException {
        Path adapter = folder.resolve("adapter");
        try (FineTunedModel tuned = tuner().placeholder("name", "Zoe").train()) {
            tuned.save(adapter);
        }
        Path other = Fixtures.tinyChatModel(folder.resolve("other"));
        changeTensor(other.resolve("model.safetensors"), "model.norm.weight");
        try (LanguageModel base = LanguageModel.load(other)) {
            fails(
                    ModelFileException.class,
                    () -> base.loadAdapter(adapter),
                    adapter.toString(),
                    "another base model",
                    "finetune4j.json");
        }
        // An adapter from elsewhere has no record; then its shapes tell.
        Files.delete(adapter.resolve("finetune4j.json"));
        ObjectMapper json = new ObjectMapper();
        ObjectNode config = (ObjectNode)
                json.readTree(adapter.resolve("adapter_config.json").toFile());
        config.put("r", 8);
        json.writeValue(adapter.resolve("adapter_config.json").toFile(), config);
        try (LanguageModel base = LanguageModel.load(model)) {
            fails(
                    ModelFileException.class,
                    () -> base.loadAdapter(adapter),
                    "adapter_model.safetensors",
                    "layers.0.self_attn.q_proj.lora_A.weight has the shape [16, 64], expected [8, 64]",
                    "28 tensors have another shape than expected");
        }
    }

    @Test
    void adapterTrainedWithAnotherChatTemplateOfTheCheckpoint() throws IOException {
        Path adapter = folder.resolve("adapter");
        Path file = model.resolve("chat_template.jinja");
        String published = Files.readString(file);
        String trained = "{{ 'Chat: ' }}" + published;
        Files.writeString(file, trained);
        try (FineTunedModel tuned = tuner().placeholder("name", "Zoe").train()) {
            tuned.save(adapter);
        }
        Files.writeString(file, "{{ 'Talk: ' }}" + published);
        try (LanguageModel base = LanguageModel.load(model)) {
            fails(
                    ModelFileException.class,
                    () -> base.loadAdapter(adapter),
                    adapter.toString(),
                    "\"jinja-",
                    "not the one that " + model + " has now: restore the chat_template.jinja");
        }
        Files.writeString(file, trained);
        try (LanguageModel base =
                LanguageModel.loader(model).chatTemplate("chatml").load()) {
            fails(
                    ModelFileException.class,
                    () -> base.loadAdapter(adapter),
                    "\"chatml\"",
                    "load the base without chatTemplate(…), and restore the chat_template.jinja");
        }
        try (LanguageModel base = LanguageModel.load(model);
                Adapter loaded = base.loadAdapter(adapter)) {
            assertNotNull(loaded);
        }
    }

    @Test
    void adapterTrainedWithANamedTemplate() throws IOException {
        Path adapter = folder.resolve("adapter");
        try (FineTunedModel tuned = tuner().placeholder("name", "Zoe").train()) {
            tuned.save(adapter);
        }
        Path file = model.resolve("chat_template.jinja");
        Files.writeString(file, "{{ 'Chat: ' }}" + Files.readString(file));
        try (LanguageModel base = LanguageModel.load(model)) {
            fails(
                    ModelFileException.class,
                    () -> base.loadAdapter(adapter),
                    "\"jinja-",
                    "load the base with chatTemplate(\"chatml\")");
        }
    }

    @Test
    void adapterOfAnUnsupportedKindOrWithDamagedValues() throws IOException {
        Path adapter = folder.resolve("adapter");
        try (FineTunedModel tuned = tuner().placeholder("name", "Zoe").train()) {
            tuned.save(adapter);
        }
        ObjectMapper json = new ObjectMapper();
        Path file = adapter.resolve("adapter_config.json");
        ObjectNode config = (ObjectNode) json.readTree(file.toFile());
        json.writeValue(
                file.toFile(),
                config.deepCopy()
                        .put("init_lora_weights", "corda")
                        .put("use_qalora", true)
                        .put("lora_alpha", "16"));
        try (LanguageModel base = LanguageModel.load(model)) {
            fails(
                    ModelFileException.class,
                    () -> base.loadAdapter(adapter),
                    "\"use_qalora\" is true, which PEFT gives a meaning",
                    "\"init_lora_weights\" is \"corda\"",
                    "\"lora_alpha\" must be a number, but is \"16\"");
            json.writeValue(
                    file.toFile(),
                    config.deepCopy().put("a_key_of_tomorrow", true).put("peft_version", "0.99.0"));
            fails(
                    ModelFileException.class,
                    () -> base.loadAdapter(adapter),
                    "adapter_config.json",
                    "\"a_key_of_tomorrow\" is true",
                    "PEFT 0.99.0");
            json.writeValue(file.toFile(), config.deepCopy().put("a_key_of_tomorrow", 3));
            base.loadAdapter(adapter).close();
            json.writeValue(file.toFile(), config.deepCopy().put("a_key_of_tomorrow", false));
            base.loadAdapter(adapter).close();
            json.writeValue(file.toFile(), config.deepCopy().put("lora_dropout", 1.0));
            fails(ModelFileException.class, () -> base.loadAdapter(adapter), "adapter_config.json", "dropout");
            ObjectNode more = config.deepCopy();
            more.withArray("target_modules").add("query_key_value");
            json.writeValue(file.toFile(), more);
            base.loadAdapter(adapter).close();
        }
    }

    @Test
    void aSaveThatFailsLeavesTheOlderAdapterAsItWas() throws IOException {
        Path adapter = folder.resolve("adapter");
        try (FineTunedModel first = tuner().placeholder("name", "Zoe").train();
                FineTunedModel second = tuner().placeholder("name", "Max")
                        .training(t -> t.seed(3))
                        .train()) {
            first.save(adapter);
            byte[] weights = Files.readAllBytes(adapter.resolve("adapter_model.safetensors"));
            byte[] config = Files.readAllBytes(adapter.resolve("adapter_config.json"));
            // A folder where a file has to go makes the second save fail after everything is written.
            Files.delete(adapter.resolve("tokenizer.json"));
            Files.createDirectories(adapter.resolve("tokenizer.json/x"));
            fails(
                    FineTune4jException.class,
                    () -> second.save(adapter),
                    adapter.toString(),
                    "tokenizer.json is a folder",
                    "what was there before is unchanged");
            assertArrayEquals(weights, Files.readAllBytes(adapter.resolve("adapter_model.safetensors")));
            assertArrayEquals(config, Files.readAllBytes(adapter.resolve("adapter_config.json")));
            try (Stream<Path> left = Files.list(adapter)) {
                assertEquals(
                        List.of(),
                        left.filter(path -> path.getFileName().toString().startsWith("."))
                                .toList());
            }
        }
    }

    @Test
    void vocabularyOfAnotherSizeThanTheWeightsHaveRows() throws IOException {
        changeConfig(config -> config.put("vocab_size", 499));
        fails(ModelFileException.class, () -> LanguageModel.load(model), "does not fit its config.json", "499");
    }

    @Test
    void adapterFolderThatIsNotOne() {
        try (LanguageModel base = LanguageModel.load(model)) {
            fails(ModelFileException.class, () -> base.loadAdapter(folder), "no adapter_config.json", "adapter folder");
        }
    }

    @Test
    void cudaAskedForAndAbsent() {
        Needs.that(TorchRuntime.cudaDevices() == 0, "this machine has a GPU");
        fails(
                DeviceException.class,
                () -> LanguageModel.loader(model).device(ComputeDevice.cuda(0)).load(),
                "cuda:0",
                "ask for the CPU");
    }

    @Test
    void closedThingsSayThatTheyAreClosed() {
        LanguageModel base = LanguageModel.load(model);
        ChatSession session = base.chat();
        session.close();
        session.close();
        fails(IllegalStateException.class, () -> session.send("Hello"), "closed");
        base.close();
        base.close();
        fails(IllegalStateException.class, base::chat, "closed");
        FineTunedModel tuned = tuner().placeholder("name", "Zoe").train();
        try (ChatSession orphan = tuned.chat()) {
            tuned.adapter().orElseThrow().close();
            fails(IllegalStateException.class, () -> orphan.send("Hello"), "adapter is closed");
        }
        tuned.close();
        tuned.close();
        fails(IllegalStateException.class, () -> tuned.ask("Hello"), "closed");
    }

    @Test
    void unknownChatTemplate() throws IOException {
        fails(
                SettingsException.class,
                () -> LanguageModel.loader(model).chatTemplate("yoda").load(),
                "yoda",
                "chatml");
        Files.writeString(model.resolve("chat_template.jinja"), "{% for message in messages %}");
        fails(ModelFileException.class, () -> LanguageModel.load(model), "line 1, column 4", "chatTemplate(", "chatml");
    }

    @Test
    void aFailedTrainingInTheBackgroundReachesWhoeverWaits() {
        TrainingJob job = tuner().start();
        fails(FineTune4jException.class, job::await, "{{name}}");
        assertTrue(job.completion().toCompletableFuture().isCompletedExceptionally());
        assertFalse(job.progress().isPresent());
        assertEquals(true, job.isDone());
    }

    private void changeConfig(Consumer<ObjectNode> change) throws IOException {
        ObjectMapper json = new ObjectMapper();
        Path file = model.resolve("config.json");
        ObjectNode config = (ObjectNode) json.readTree(file.toFile());
        change.accept(config);
        json.writeValue(file.toFile(), config);
    }

    private static void changeTensor(Path file, String name) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try (SafetensorsFile source = SafetensorsFile.open(file)) {
            source.tensors().keySet().forEach(key -> tensors.put(key, source.read(key)));
        }
        tensors.get(name).add_(Tensors.scalar(1));
        SafetensorsWriter.write(file, tensors, Map.of());
    }
}
