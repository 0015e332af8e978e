package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.Adapter;
import dev.finetune4j.GgufType;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.text.Normalizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Exported GGUF files, judged by llama.cpp against the numbers of transformers; see {@link GgufJudge} for what it takes. */
class GgufJudgeTest {
    /** What float32 leaves when sums have another order, for log-probabilities of about 6. */
    private static final double EXACT = 3e-6;
    /** Of models whose weights have a deviation of 0.4: there transformers in float32 differs by up to 9.4e-6 from itself in float64. */
    static final double WIDE = 1.5e-5;
    /** llama.cpp looks the approximate GELU up in a table of half precision. */
    private static final double GELU_TABLE = 1e-3;
    /**
     * Where the others are not to be reached: of qwen3 transformers in float32 differs by 2.9e-6 from itself in float64, and llama.cpp by
     * 3.05e-6; and of gemma3 the table of GELU in an otherwise exact model gives 1.029e-3.
     */
    private static final Map<String, Double> BEYOND = Map.of("qwen3", 3.1e-6, "gemma3", 1.04e-3);

    /** What llama.cpp takes for the end of an answer wherever it is in a vocabulary. */
    private static final List<String> ITS_END_TOKENS = List.of("</s>", "<|eot_id|>", "<|im_end|>", "<|end|>", "<EOT>");

    private static final double LORA = 1e-5;
    private static final Logger LOG = LoggerFactory.getLogger(GgufJudgeTest.class);

    @TempDir
    Path temporary;

    @TestFactory
    Stream<DynamicTest> models() {
        return ReferenceFolder.selected().folders("models").stream()
                .map(folder -> DynamicTest.dynamicTest(ReferenceFolder.name(folder), () -> judge(folder, false)));
    }

    /** The models of the families' own tests, which have one for each switch. */
    @TestFactory
    Stream<DynamicTest> families() {
        List<Path> folders = new ReferenceFolder(Path.of("../core/src/test/resources")).folders("model");
        Needs.that(!folders.isEmpty(), "the module core is not beside this one");
        return folders.stream()
                .map(folder -> DynamicTest.dynamicTest(ReferenceFolder.name(folder), () -> judge(folder, true)));
    }

    private void judge(Path folder, boolean wide) throws IOException {
        GgufJudge judge = GgufJudge.find(temporary);
        Path model = GgufModels.withPlaceholders(folder, temporary.resolve(ReferenceFolder.name(folder)));
        Path file = temporary.resolve("judged-" + ReferenceFolder.name(folder) + ".gguf");
        JsonNode config = TestData.json(folder.resolve("config.json"));
        int window = GgufLimits.window(config);
        GgufGolden golden = GgufGolden.of(folder, window == 0 ? Integer.MAX_VALUE : window);
        List<String> refusals;
        try (LanguageModel loaded = load(model)) {
            ModelFormat.Gguf format = ModelFormat.gguf(GgufType.F32);
            refusals = refusals(() -> loaded.export(file, window == 0 ? format : format.contextLength(window)));
        }
        GgufLimits.assertRightlyRefused(config, refusals);
        if (!refusals.isEmpty()) {
            assertTrue(Files.notExists(file), "a file was written");
            LOG.info("{} cannot be expressed: {}", ReferenceFolder.name(folder), refusals);
            return;
        }
        double difference =
                golden.difference(judge.ask(List.of(golden.question(file))).get(0));
        String type = config.path("model_type").asText();
        boolean gelu = type.startsWith("gemma") || type.equals("starcoder2");
        double allowed = wide
                ? gelu ? 2 * GELU_TABLE : WIDE
                : BEYOND.getOrDefault(ReferenceFolder.name(folder), gelu ? GELU_TABLE : EXACT);
        LOG.info(
                "{}: log-probabilities differ by at most {}, allowed {}",
                ReferenceFolder.name(folder),
                difference,
                allowed);
        assertTrue(difference <= allowed, () -> "log-probabilities differ by " + difference + ", allowed " + allowed);
    }

    private static List<String> refusals(Runnable export) {
        try {
            export.run();
            return List.of();
        } catch (SettingsException e) {
            return e.problems();
        }
    }

    @TestFactory
    Stream<DynamicTest> tokenizers() {
        Stream<Path> wide = Needs.findShared("fixtures/tokenizers").stream()
                .flatMap(shared -> new ReferenceFolder(shared.getParent()).folders("tokenizers").stream());
        Stream<Path> selected = ReferenceFolder.selected().folders("tokenizers").stream();
        return Stream.concat(selected, wide)
                .filter(folder -> Files.exists(folder.resolve("golden.json")))
                .map(folder -> DynamicTest.dynamicTest(ReferenceFolder.name(folder), () -> tokenize(folder)));
    }

    private void tokenize(Path folder) throws IOException {
        GgufJudge judge = GgufJudge.find(temporary);
        JsonNode definition = TestData.json(folder.resolve("tokenizer.json"));
        JsonNode golden = TestData.json(folder.resolve("golden.json"));
        JsonNode items = golden.has("items") ? golden.path("items") : golden.path("encode");
        assertTrue(!items.isEmpty(), "golden.json has no texts");
        Path file = temporary.resolve("judged.gguf");
        List<String> refusals;
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            Path model = GgufModels.around(
                    folder, temporary.resolve("around-" + ReferenceFolder.name(folder)), tokenizer.vocabularySize());
            try (LanguageModel loaded = load(model)) {
                refusals = refusals(() -> loaded.export(file, ModelFormat.gguf(GgufType.F16)));
            }
        }
        if (!refusals.isEmpty()) {
            assertTrue(refusals.stream().allMatch(refusal -> refusal.contains("token")), refusals::toString);
            LOG.info("{} cannot be expressed: {}", ReferenceFolder.name(folder), refusals);
            return;
        }
        ObjectNode question = GgufJudge.question("tokens", file);
        ArrayNode texts = question.putArray("texts");
        List<JsonNode> compared = new ArrayList<>();
        for (JsonNode item : items) {
            if (isExpressible(item.path("text").asText(), definition)) {
                texts.add(item.path("text"));
                compared.add(item);
            }
        }
        JsonNode ids = judge.ask(List.of(question)).get(0);
        assertTrue(compared.size() >= 0.9 * items.size(), "only " + compared.size() + " texts can be expressed");
        for (int i = 0; i < compared.size(); i++) {
            assertEquals(
                    compared.get(i).path("ids"),
                    ids.get(i),
                    compared.get(i).path("text").asText());
        }
        LOG.info("{}: {} of {} texts have the same ids", ReferenceFolder.name(folder), compared.size(), items.size());
    }

    /** llama.cpp brings no text to normal form, and takes some texts for the end of an answer that are none here. */
    private static boolean isExpressible(String text, JsonNode definition) {
        boolean normalizes = definition.path("normalizer").path("type").asText().equals("NFC");
        Set<String> added = new HashSet<>();
        definition
                .path("added_tokens")
                .forEach(token -> added.add(token.path("content").asText()));
        boolean spellsEnd = ITS_END_TOKENS.stream()
                .anyMatch(end -> text.contains(end)
                        && definition.path("model").path("vocab").has(end)
                        && !added.contains(end));
        return !spellsEnd && (!normalizes || Normalizer.isNormalized(text, Normalizer.Form.NFC));
    }

    @TestFactory
    Stream<DynamicTest> adapters() {
        ReferenceFolder reference = ReferenceFolder.selected();
        return reference.folders("adapters").stream()
                .filter(folder -> Files.exists(folder.resolve("golden_merged.safetensors")))
                .map(folder -> DynamicTest.dynamicTest(ReferenceFolder.name(folder), () -> adapter(reference, folder)));
    }

    /** The adapter merged, and, where a file of its own can hold it, that file on the base. */
    private void adapter(ReferenceFolder reference, Path folder) throws IOException {
        GgufJudge judge = GgufJudge.find(temporary);
        String name = ReferenceFolder.name(folder);
        Path base = AdapterCases.base(reference, folder, name);
        GgufGolden golden = GgufGolden.of(
                base.resolve("golden.safetensors"), folder.resolve("golden_merged.safetensors"), Integer.MAX_VALUE);
        Path merged = temporary.resolve("merged.gguf");
        Path lora = temporary.resolve("lora-" + name + ".gguf");
        Path alone = temporary.resolve("base.gguf");
        List<ObjectNode> questions = new ArrayList<>(List.of(golden.question(merged)));
        try (LanguageModel loaded = load(GgufModels.withPlaceholders(base, temporary.resolve("base-of-" + name)));
                Adapter adapter = loaded.loadAdapter(folder)) {
            JsonNode config = TestData.json(base.resolve("config.json"));
            List<String> refused = refusals(() -> adapter.export(merged, ModelFormat.gguf(GgufType.F32)));
            GgufLimits.assertRightlyRefused(config, refused);
            if (!refused.isEmpty()) {
                return;
            }
            loaded.export(alone, ModelFormat.gguf(GgufType.F32));
            if (isPlainLora(TestData.json(folder.resolve("adapter_config.json")))
                    && !config.path("model_type").asText().equals("glm4")) {
                adapter.saveGguf(lora, GgufType.F32);
                questions.add(golden.question(alone).put("lora", lora.toString()));
            } else {
                assertThrows(SettingsException.class, () -> adapter.saveGguf(lora, GgufType.F32));
                assertTrue(Files.notExists(lora), "a file was written");
            }
        }
        JsonNode answers = judge.ask(questions);
        double difference = golden.difference(answers.get(0));
        LOG.info("{} merged: log-probabilities differ by at most {}", name, difference);
        assertTrue(difference <= EXACT, () -> "log-probabilities differ by " + difference + ", allowed " + EXACT);
        if (questions.size() > 1) {
            double apart = GgufGolden.largest(answers.get(0), answers.get(1));
            LOG.info("{} as a file of its own: differs from merged by at most {}", name, apart);
            assertTrue(apart <= LORA, () -> "adapter and merged model differ by " + apart + ", allowed " + LORA);
        }
    }

    private static boolean isPlainLora(JsonNode config) {
        return config.path("peft_type").asText().equals("LORA")
                && !config.path("use_dora").asBoolean()
                && config.path("modules_to_save").isEmpty()
                && config.path("bias").asText("none").equals("none");
    }

    private static LanguageModel load(Path model) {
        return LanguageModel.loader(model)
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .load();
    }

    /**
     * What rounding changes; llama.cpp computes with rounded inputs, too: in an otherwise exact model, weights rounded to Q8_0 change
     * 5.0e-2, and inputs rounded beside them 6.2e-2.
     */
    @ParameterizedTest
    @CsvSource({"F16, 3e-3", "BF16, 2.5e-2", "Q8_0, 6.1e-2"})
    void rounded(GgufType type, double allowed) throws IOException {
        GgufJudge judge = GgufJudge.find(temporary);
        Path folder = ReferenceFolder.selected().base("", "llama");
        Path file = temporary.resolve("rounded.gguf");
        try (LanguageModel loaded = load(GgufModels.withPlaceholders(folder, temporary.resolve("rounded")))) {
            loaded.export(file, ModelFormat.gguf(type));
        }
        GgufGolden golden = GgufGolden.of(folder, Integer.MAX_VALUE);
        double difference =
                golden.difference(judge.ask(List.of(golden.question(file))).get(0));
        LOG.info("{}: log-probabilities differ by at most {}", type, difference);
        assertTrue(difference <= allowed, () -> "log-probabilities differ by " + difference + ", allowed " + allowed);
    }

    /** A trained model: its ids and its greedy continuations. */
    @Test
    void stories() throws IOException {
        GgufJudge judge = GgufJudge.find(temporary);
        Path folder = Needs.shared("fixtures/stories260k");
        Path file = temporary.resolve("stories.gguf");
        try (LanguageModel loaded = LanguageModel.loader(folder)
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .chatTemplate("default")
                .load()) {
            loaded.export(file, ModelFormat.gguf(GgufType.F32));
        }
        JsonNode prompts = TestData.json(folder.resolve("golden.json")).path("generations");
        JsonNode texts = TestData.json(folder.resolve("tokenizer_golden.json")).path("items");
        ObjectNode greedy = GgufJudge.question("greedy", file).put("count", 60);
        ObjectNode tokens = GgufJudge.question("tokens", file);
        prompts.forEach(prompt -> greedy.withArray("/rows").add(prompt.path("ids")));
        texts.forEach(item -> tokens.withArray("/texts").add(item.path("text")));
        JsonNode answers = judge.ask(List.of(greedy, tokens));
        assertTrue(!prompts.isEmpty() && !texts.isEmpty(), "no prompts or no texts");
        for (int i = 0; i < prompts.size(); i++) {
            assertEquals(prompts.get(i).path("greedy_ids"), answers.get(0).get(i), "prompt " + i);
        }
        for (int i = 0; i < texts.size(); i++) {
            assertEquals(
                    texts.get(i).path("ids"),
                    answers.get(1).get(i),
                    texts.get(i).path("text").asText());
        }
    }

    /** The small chat model of the examples: the same answers to the same prompts, with the same end. */
    @Test
    void theDemoBaseAnswersAndStops() throws IOException {
        GgufJudge judge = GgufJudge.find(temporary);
        Path folder = Path.of("../examples/src/main/resources/dev/finetune4j/examples/base-model");
        Needs.that(Files.isDirectory(folder), "the examples are not beside this module");
        Path file = temporary.resolve("demo.gguf");
        List<String> questions = List.of("你是谁?", "你好,你是谁?", "Who are you?");
        ObjectNode greedy = GgufJudge.question("greedy", file).put("count", 64).put("stops", true);
        List<String> expected = new ArrayList<>();
        try (LanguageModel loaded = load(folder);
                Tokenizer tokenizer = Tokenizer.load(folder)) {
            loaded.export(file, ModelFormat.gguf(GgufType.F32));
            ChatEncoder encoder = new ChatEncoder(
                    tokenizer, ChatTemplate.ofCheckpoint(tokenizer).orElseThrow());
            for (String question : questions) {
                ArrayNode row = greedy.withArray("/rows").addArray();
                for (int id : encoder.encode(Conversation.of(ChatMessage.user(question)), true)
                        .ids()) {
                    row.add(id);
                }
                expected.add(loaded.ask(question));
            }
            JsonNode answers = judge.ask(List.of(greedy)).get(0);
            for (int i = 0; i < questions.size(); i++) {
                int[] ids = TestData.ints(answers.get(i));
                assertTrue(ids.length > 0 && ids.length < 64, () -> "it did not stop: " + Arrays.toString(ids));
                assertEquals(expected.get(i), tokenizer.decode(ids));
            }
        }
    }

    /** Gemma 3 with layers that see all tokens, and other rotary frequencies in those with a window, against ours. */
    @Test
    void layersOfGemma3() throws IOException {
        Path model = variant("gemma3", 6, config -> {
            ArrayNode types = config.putArray("layer_types");
            for (int i = 0; i < 6; i++) {
                types.add(i < 5 ? "sliding_attention" : "full_attention");
            }
            ((ObjectNode) config.path("rope_parameters").path("sliding_attention")).put("rope_theta", 5000.0);
        });
        againstOurs(model, 3e-3); // three times as many tables of GELU as in the fixture
    }

    /** Phi-3 with a factor for each frequency, beyond its first training's positions, against ours. */
    @Test
    void longRopeOfPhi3() throws IOException {
        Path model = variant("phi3", 2, config -> {
            config.put("original_max_position_embeddings", 32);
            ObjectNode rope = config.putObject("rope_parameters");
            rope.put("rope_type", "longrope").put("rope_theta", 10_000.0).put("original_max_position_embeddings", 32);
            ArrayNode near = rope.putArray("short_factor");
            ArrayNode far = rope.putArray("long_factor");
            for (int i = 0; i < 8; i++) {
                near.add(1 + 0.1 * i);
                far.add(1.5 + 0.7 * i);
            }
        });
        againstOurs(model, EXACT);
    }

    /** A model of the collection with another configuration and its blocks again and again. */
    private Path variant(String name, int layers, Consumer<ObjectNode> change) throws IOException {
        Path source = ReferenceFolder.selected().base("", name);
        Needs.that(ReferenceFolder.name(source).equals(name), "the collection has no " + name);
        Path folder = GgufModels.withPlaceholders(source, temporary.resolve("variant-" + name));
        ObjectNode config = (ObjectNode) TestData.json(folder.resolve("config.json"));
        config.put("num_hidden_layers", layers);
        change.accept(config);
        Files.writeString(folder.resolve("config.json"), config.toString());
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try (TensorScope scope = new TensorScope();
                SafetensorsFile file = SafetensorsFile.open(source.resolve("model.safetensors"))) {
            for (String tensor : file.names()) {
                if (!tensor.startsWith("model.layers.")) {
                    tensors.put(tensor, file.read(tensor));
                }
            }
            for (int i = 0; i < layers; i++) {
                String from = "model.layers." + i % 2 + ".";
                for (String tensor : file.names()) {
                    if (tensor.startsWith(from)) {
                        tensors.put("model.layers." + i + "." + tensor.substring(from.length()), file.read(tensor));
                    }
                }
            }
            SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors);
        }
        return folder;
    }

    private void againstOurs(Path model, double allowed) throws IOException {
        GgufJudge judge = GgufJudge.find(temporary);
        int[] row = new int[40];
        for (int i = 0; i < row.length; i++) {
            row[i] = (i * 37 + 11) % 500;
        }
        float[] logits;
        int vocabulary;
        try (CausalLM ours = ReferenceFolder.load(model);
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            long[] ids = Arrays.stream(row).asLongStream().toArray();
            logits = Tensors.toFloats(ours.logits(ours.hidden(ModelInput.padded(ours.tokens(ids, 1, ids.length)))));
            vocabulary = ours.config().vocabSize();
        }
        Path file = temporary.resolve("variant.gguf");
        try (LanguageModel loaded = load(model)) {
            loaded.export(file, ModelFormat.gguf(GgufType.F32));
        }
        GgufGolden golden = new GgufGolden(
                new int[][] {row}, IntStream.range(0, row.length).toArray(), new float[][] {logits}, vocabulary);
        double difference =
                golden.difference(judge.ask(List.of(golden.question(file))).get(0));
        LOG.info("{}: log-probabilities differ from ours by at most {}", model.getFileName(), difference);
        assertTrue(difference <= allowed, () -> "log-probabilities differ by " + difference + ", allowed " + allowed);
    }
}
