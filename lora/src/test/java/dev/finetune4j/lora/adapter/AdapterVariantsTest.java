package dev.finetune4j.lora.adapter;

import static dev.finetune4j.testsupport.TensorData.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.adapter.kind.LayerAdapter;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.export.ChatFiles;
import dev.finetune4j.lora.export.HuggingFaceWriter;
import dev.finetune4j.lora.export.MergeOptions;
import dev.finetune4j.lora.export.MergedModelExporter;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Adapters that PEFT 0.21 made with every setting that changes what is computed: logits, loss, gradients, merged logits, and
 * that they are the same after saving and loading.
 */
class AdapterVariantsTest {
    private static final double LOGITS = 1e-4;
    private static final double GRADIENTS = 1e-3;

    @TempDir
    Path temporary;

    static List<Path> variants() throws IOException {
        Path root = Path.of(System.getProperty(
                "finetune4j.adapters", TestData.resource("adapter-variants").toString()));
        try (Stream<Path> folders = Files.list(root)) {
            return folders.filter(Files::isDirectory).sorted().toList();
        }
    }

    @ParameterizedTest
    @MethodSource("variants")
    void computesWhatPeftComputes(Path folder) throws IOException {
        PretrainedFolder directory = base(folder);
        try (CausalLM base = Fixtures.model(directory.path(), LinearFactory.dense());
                PeftAdapter adapter = AdapterFiles.load(folder, base);
                SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                SafetensorsFile gradients = SafetensorsFile.open(folder.resolve("golden_grads.safetensors"))) {
            float[] before = logits(base, golden);
            Map<String, Tensor> parameters = adapter.parameters();
            parameters.values().forEach(tensor -> tensor.set_requires_grad(true));
            CausalLM tuned = adapter.attachTo(base);
            float[] logits = logits(tuned, golden);
            assertLogits("logits", golden, logits);
            checkLoss(tuned, golden);
            if (Files.exists(folder.resolve("encoder.safetensors"))) {
                checkLastBias(parameters, gradients);
                checkEncoder(folder, base, adapter.settings(), golden, gradients);
            } else {
                checkGradients(parameters, gradients);
            }
            parameters.values().forEach(tensor -> tensor.set_requires_grad(false));
            assertArrayEquals(before, logits(base, golden), "the base is as it was");
            checkMerged(adapter, directory, golden);
            checkSaved(adapter, base, golden, logits);
        }
    }

    private PretrainedFolder base(Path folder) throws IOException {
        String name = TestData.json(folder.resolve("adapter_config.json"))
                .path("base_model_name_or_path")
                .asText();
        Path model = Files.createDirectories(temporary.resolve("base"));
        for (String file : List.of("config.json", "model.safetensors")) {
            Files.copy(model(name).resolve(file), model.resolve(file));
        }
        Files.writeString(model.resolve("tokenizer.json"), "{}");
        return PretrainedFolder.open(model);
    }

    private static Path model(String name) {
        return switch (name) {
            case "llama" -> Fixtures.reference("models/llama");
            case "llama_tied_bias", "gemma3" -> TestData.resource("bases/" + name);
            case "glm4_plain",
                    "olmo2_plain",
                    "cohere_norms",
                    "qwen2_moe_shared",
                    "qwen3_moe_mixed",
                    "qwen3_moe_plain",
                    "mixtral_window",
                    "stablelm_norms",
                    "stablelm_parallel",
                    "starcoder2_plain",
                    "starcoder2_window" -> Path.of("../core/src/test/resources/model", name);
            default -> Fixtures.wide("models/" + name);
        };
    }

    private static float[] logits(CausalLM model, SafetensorsFile golden) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(golden.read("input_ids")))));
        }
    }

    /** Of the golden logits the first position, where virtual tokens are all that precedes, one between and the last are kept here. */
    private static void assertLogits(String what, SafetensorsFile golden, float[] logits) {
        long[] shape = golden.info("input_ids").shape();
        assertEquals(1, shape[0], "rows");
        int width = logits.length / Math.toIntExact(shape[1]);
        long[] positions = golden.tensors().containsKey("positions")
                ? TensorData.longs(golden, "positions")
                : LongStream.range(0, shape[1]).toArray();
        float[] kept = new float[positions.length * width];
        for (int i = 0; i < positions.length; i++) {
            System.arraycopy(logits, Math.toIntExact(positions[i]) * width, kept, i * width, width);
        }
        assertClose(what, TensorData.floats(golden, "logits"), kept, LOGITS);
    }

    private static void checkLoss(CausalLM model, SafetensorsFile golden) {
        long[] shape = golden.info("input_ids").shape();
        long[] labels = Fixtures.shift(
                TensorData.longs(golden, "input_ids"), Math.toIntExact(shape[0]), Math.toIntExact(shape[1]));
        long targets = Arrays.stream(labels).filter(label -> label != -100).count();
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor hidden = model.hidden(ModelInput.padded(golden.read("input_ids")));
            double sum = NextTokenLoss.lossAndBackward(hidden, model::logits, labels, 1.0 / targets);
            assertEquals(TensorData.floats(golden, "loss")[0], sum / targets, 1e-4);
        }
    }

    /** Large tables are left out of the golden gradients. */
    private static void checkGradients(Map<String, Tensor> parameters, SafetensorsFile gradients) {
        Set<String> names = gradients.tensors().keySet();
        assertTrue(!names.isEmpty());
        for (String name : names) {
            String own = name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector");
            Tensor parameter = Objects.requireNonNull(parameters.get(own), name + " is not trained");
            assertClose(name, TensorData.floats(gradients, name), Tensors.toFloats(parameter.grad()), GRADIENTS);
        }
    }

    /** A file holds what an encoder made and not the encoder; its last bias has the gradient of all virtual tokens together. */
    private static void checkLastBias(Map<String, Tensor> parameters, SafetensorsFile gradients) {
        String last = gradients.tensors().keySet().stream()
                .filter(name -> name.matches(".*(head|transform)\\.\\d\\.bias"))
                .max(Comparator.naturalOrder())
                .orElseThrow();
        try (TensorScope scope = new TensorScope()) {
            Tensor table = Objects.requireNonNull(parameters.get("prompt_encoder.embedding.weight"));
            assertClose(
                    last,
                    TensorData.floats(gradients, last),
                    Tensors.toFloats(table.grad().sum(0)),
                    GRADIENTS);
        }
    }

    /** A fresh encoder with the values of PEFT's has its results and its gradients. */
    private static void checkEncoder(
            Path folder, CausalLM base, AdapterSettings settings, SafetensorsFile golden, SafetensorsFile gradients) {
        try (PeftAdapter adapter = AdapterKinds.create(base, settings, InitSources.seed(1));
                SafetensorsFile encoder = SafetensorsFile.open(folder.resolve("encoder.safetensors"));
                TensorScope scope = new TensorScope()) {
            Map<String, Tensor> parameters = adapter.parameters();
            assertEquals(encoder.tensors().keySet(), parameters.keySet());
            parameters.forEach(
                    (name, tensor) -> tensor.copy_(encoder.read(name)).set_requires_grad(true));
            CausalLM tuned = adapter.attachTo(base);
            assertLogits("encoded", golden, logits(tuned, golden));
            checkLoss(tuned, golden);
            checkGradients(parameters, gradients);
        }
    }

    private void checkMerged(PeftAdapter adapter, PretrainedFolder directory, SafetensorsFile golden) {
        if (!(adapter instanceof LayerAdapter)) {
            return;
        }
        Path folder = temporary.resolve("merged");
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            ChatFiles files = new ChatFiles(directory, new ChatEncoder(tokenizer, ChatTemplate.named("default")));
            MergedModelExporter.write(
                    files,
                    JsonNodeFactory.instance.objectNode(),
                    adapter,
                    folder,
                    new HuggingFaceWriter(Precision.FP32),
                    new MergeOptions(true, List.of()));
        }
        try (CausalLM merged = Fixtures.model(folder, LinearFactory.dense())) {
            // PEFT lets a head that shares an adapted embedding change with it when it merges; ours stays what was
            // trained.
            assertLogits("merged logits", golden, logits(merged, golden));
        }
    }

    private void checkSaved(PeftAdapter adapter, CausalLM base, SafetensorsFile golden, float[] logits)
            throws IOException {
        Path first = temporary.resolve("first");
        Path second = temporary.resolve("second");
        AdapterFiles.save(adapter, base, first, "base", JsonNodeFactory.instance.objectNode(), into -> {});
        try (PeftAdapter again = AdapterFiles.load(first, base)) {
            assertClose("saved", logits, logits(again.attachTo(base), golden), 1e-5);
            AdapterFiles.save(again, base, second, "base", JsonNodeFactory.instance.objectNode(), into -> {});
        }
        for (String file : List.of("adapter_config.json", "adapter_model.safetensors", "README.md")) {
            assertArrayEquals(Files.readAllBytes(first.resolve(file)), Files.readAllBytes(second.resolve(file)), file);
        }
    }
}
