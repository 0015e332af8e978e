package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.PTuningSettings;
import dev.finetune4j.lora.adapter.PrefixSettings;
import dev.finetune4j.lora.adapter.PromptTuningSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every kind of adapter through the facade: five steps on a dense and on a 4-bit base, saved, loaded, saved again. */
@Tag("slow")
class TuningMethodsTest {
    private static final GenerationSettings SHORT =
            GenerationSettings.builder().maxNewTokens(12).build();

    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello");
    }

    static Stream<Arguments> methods() {
        return Stream.of(
                        lora("lora", l -> {}),
                        lora("rslora", l -> l.useRslora(true)),
                        lora("dora", l -> l.useDora(true).dropout(0.1)),
                        lora(
                                "patterns",
                                l -> l.rankPattern(Map.of("q_proj", 2)).alphaPattern(Map.of(".*mlp\\.down_proj", 3.0))),
                        lora("regex", l -> l.targetModules(TargetModules.matching(".*layers\\.1\\..*(q|v)_proj"))),
                        lora("exclude", l -> l.excludeModules("down_proj", "layers.0.self_attn.q_proj")),
                        lora("layers", l -> l.targetModules("q_proj", "up_proj").layersToTransform(1)),
                        lora("layers of all linears", l -> l.layersToTransform(0)),
                        lora("embedding", l -> l.targetModules("q_proj", "embed_tokens")),
                        lora("head", l -> l.targetModules("q_proj", "lm_head")),
                        lora(
                                "whole modules",
                                l -> l.targetModules("q_proj").modulesToSave("lm_head", "embed_tokens", "model.norm")),
                        lora("tokens", l -> l.targetModules("q_proj").trainableTokenIndices(1, 2, 17)),
                        lora("gaussian", l -> l.initWeights(LoraInit.gaussian())),
                        lora("pissa", l -> l.initWeights(LoraInit.pissa())),
                        lora(
                                "fast pissa",
                                l -> l.initWeights(new LoraInit.Pissa(4)).useDora(true)),
                        lora("olora", l -> l.initWeights(LoraInit.olora()).useRslora(true)),
                        method("lora plus", b -> b.lora(l -> l.rank(4)).loraPlus(4)),
                        method(
                                "bias of b",
                                b -> b.adapter(LoraSettings.builder()
                                        .rank(4)
                                        .loraBias(true)
                                        .build())),
                        lora("bias of all, tied", l -> l.targetModules("v_proj").bias(BiasTraining.ALL)),
                        lora("bias of adapted, tied", l -> l.bias(BiasTraining.LORA_ONLY)),
                        lora("tokens, tied", l -> l.targetModules("q_proj").trainableTokenIndices(1, 2, 17)),
                        lora("head, tied", l -> l.targetModules("q_proj").modulesToSave("lm_head")),
                        lora("embedding, tied", l -> l.targetModules("q_proj", "embed_tokens")),
                        method("loftq", b -> b.qlora(q -> q.rank(4).initWeights(LoraInit.loftq()))),
                        method("ia3", FineTuner.Builder::ia3),
                        method("vera", b -> b.vera(v -> v.rank(16).dropout(0.1))),
                        method(
                                "vera of a key, tied",
                                b -> b.vera(v -> v.targetModules(TargetModules.named("q_proj", "down_proj"))
                                        .projectionPrngKey(-3)
                                        .saveProjection(false)
                                        .bias(BiasTraining.LORA_ONLY)
                                        .modulesToSave("model.norm"))),
                        method("ln tuning", FineTuner.Builder::lnTuning),
                        method("freeze", b -> b.freeze(f -> f.lastLayers(1))),
                        method(
                                "freeze parts, tied",
                                b -> b.freeze(f -> f.firstLayers(2)
                                        .modules("self_attn", "mlp.up_proj", "input_layernorm")
                                        .extraModules("norm", "embed_tokens"))),
                        method("prefix", b -> b.prefixTuning(4)),
                        method("prefix from zero", b -> b.adapter(new PrefixSettings(4, 0, true))),
                        method("prefix projection", b -> b.adapter(new PrefixSettings(4, 24, false))),
                        method("p-tuning", b -> b.pTuning(4)),
                        method(
                                "p-tuning lstm",
                                b -> b.adapter(new PTuningSettings(4, PTuningSettings.Encoder.LSTM, 24, 2, 0.1))),
                        method("prompt", b -> b.promptTuning(4)),
                        method("prompt from text", b -> b.promptTuning(6, "You are Zoe")),
                        method(
                                "prompt from vocabulary",
                                b -> b.adapter(
                                        new PromptTuningSettings(4, PromptTuningSettings.Init.SAMPLE_VOCAB, null))))
                .flatMap(arguments -> Stream.of(false, true)
                        .filter(fourBit -> fourBit
                                ? !arguments.get()[0].toString().startsWith("freeze")
                                : !arguments.get()[0].equals("loftq"))
                        .map(fourBit -> Arguments.of(
                                arguments.get()[0] + (fourBit ? ", 4 bit" : ""),
                                arguments.get()[1],
                                fourBit)));
    }

    private static Arguments lora(String name, Consumer<LoraSettings.Builder> options) {
        return method(name, builder -> builder.lora(l -> options.accept(l.rank(4))));
    }

    private static Arguments method(String name, UnaryOperator<FineTuner.Builder> method) {
        return Arguments.of(name, method);
    }

    private FineTuner.Builder tuner() {
        return tuner(t -> {});
    }

    /** @param own settings of the training, before the usual ones of this test */
    private FineTuner.Builder tuner(Consumer<TrainingSettings.Builder> own) {
        return FineTuner.builder()
                .model(model)
                .dataset(data)
                .training(own)
                .training(t -> (t.hasLength() ? t : t.maxSteps(5)).batchSize(3))
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32);
    }

    /** In float32, so that what is computed in two ways can be compared closely. */
    private static LanguageModel.Loader exact(Path folder) {
        return LanguageModel.loader(folder).device(ComputeDevice.cpu()).precision(Precision.FP32);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void trainsSavesLoadsAndSavesTheSame(String name, UnaryOperator<FineTuner.Builder> method, boolean fourBit)
            throws IOException {
        Path first = folder.resolve("first");
        Path second = folder.resolve("second");
        if (name.contains("tied")) {
            model = Fixtures.tinyChatModel(folder.resolve("tied"), TestData.resource("bases/llama_tied_bias"));
        }
        FineTuner.Builder builder = method.apply(tuner());
        float[] logits;
        float[] baseLogits;
        String answer;
        try (FineTunedModel tuned = (fourBit ? builder.quantize(QuantSettings.nf4()) : builder).train()) {
            Adapter adapter = tuned.adapter().orElseThrow();
            assertEquals(5, tuned.report().steps().size());
            tuned.save(first);
            logits = logits(adapter);
            baseLogits = logits(tuned.base());
            answer = say(adapter);
        }
        LanguageModel.Loader loader = exact(model);
        try (LanguageModel base = (fourBit ? loader.quantize(QuantSettings.nf4()) : loader).load();
                Adapter adapter = base.loadAdapter(first)) {
            assertTrue(TensorData.relativeError(baseLogits, logits(adapter)) > 1e-6, "the adapter does something");
            assertArrayEquals(baseLogits, logits(base), "the base is as it was");
            assertTrue(TensorData.relativeError(logits, logits(adapter)) <= 1e-5, "loaded as saved");
            assertEquals(answer, say(adapter));
            exportFor(name, first, logits, base);
            adapter.save(second);
            for (String file : List.of("adapter_config.json", "adapter_model.safetensors", "README.md")) {
                assertArrayEquals(
                        Files.readAllBytes(first.resolve(file)), Files.readAllBytes(second.resolve(file)), file);
            }
            assertEquals(recorded(first), recorded(second));
            checkMerged(adapter, fourBit ? onDenseBase(first) : logits);
        }
    }

    /** What is noted beside an adapter but the record of the run, which only the training itself writes. */
    private static JsonNode recorded(Path folder) throws IOException {
        JsonNode record = TestData.json(folder.resolve("finetune4j.json"));
        ((ObjectNode) record.path("files")).remove("run.json");
        return record;
    }

    /**
     * For the comparison with PEFT: the adapter, its logits and its base go to a folder that a property names, the base with
     * the weights that its codes stand for.
     */
    private void exportFor(String name, Path adapter, float[] logits, LanguageModel base) throws IOException {
        String target = System.getProperty("finetune4j.trained");
        if (target == null) {
            return;
        }
        String start = "base" + (name.contains("tied") ? "_tied" : "") + (name.endsWith("4 bit") ? "_4_bit" : "");
        Path keptBase = copy(model, Path.of(target, start));
        Path kept = copy(adapter, Path.of(target, name.replaceAll("[ ,+]+", "_")));
        try (TensorScope scope = new TensorScope();
                SafetensorsFile original = SafetensorsFile.open(model.resolve("model.safetensors"))) {
            Map<String, Tensor> weights = new LinkedHashMap<>();
            original.names().forEach(weight -> weights.put(weight, original.read(weight)));
            base.model().linears().forEach((path, linear) -> weights.put(path + ".weight", linear.denseWeight()));
            SafetensorsWriter.write(keptBase.resolve("model.safetensors"), weights, Map.of("format", "pt"));
            SafetensorsWriter.write(
                    kept.resolve("ours.safetensors"),
                    Map.of("logits", Tensors.ofFloats(ComputeDevice.cpu(), logits, 6, logits.length / 6)),
                    Map.of("format", "pt"));
        }
    }

    private static Path copy(Path from, Path to) throws IOException {
        Files.createDirectories(to);
        try (Stream<Path> files = Files.list(from)) {
            for (Path file : files.toList()) {
                Files.copy(file, to.resolve(file.getFileName()), StandardCopyOption.REPLACE_EXISTING);
            }
        }
        return to;
    }

    /** What merging has to give on a 4-bit base, because it takes the weights of the checkpoint. */
    private float[] onDenseBase(Path saved) {
        try (LanguageModel dense = exact(model).load();
                Adapter adapter = dense.loadAdapter(saved)) {
            return logits(adapter);
        }
    }

    private void checkMerged(Adapter adapter, float[] logits) {
        Path merged = folder.resolve("merged");
        if (adapter.peft().settings().virtualTokens() > 0) {
            assertThrows(
                    IllegalStateException.class, () -> adapter.export(merged, ModelFormat.huggingFace(Precision.FP32)));
            return;
        }
        if (adapter.peft().parameters().keySet().stream().anyMatch(name -> name.endsWith("lora_B.bias"))) {
            SettingsException homeless = assertThrows(
                    SettingsException.class, () -> adapter.export(merged, ModelFormat.huggingFace(Precision.FP32)));
            assertTrue(homeless.getMessage().contains("layers.0.self_attn.q_proj"), homeless.getMessage());
            return;
        }
        adapter.export(merged, ModelFormat.huggingFace(Precision.FP32));
        try (LanguageModel whole = exact(merged).load()) {
            double error = TensorData.relativeError(logits, logits(whole));
            assertTrue(error <= 1e-5, "merged: " + error);
        }
    }

    private static String say(Adapter adapter) {
        try (ChatSession session = adapter.chat(SHORT)) {
            return session.send("Who are you?");
        }
    }

    private static float[] logits(Adapter adapter) {
        return logits(adapter.view());
    }

    private static float[] logits(LanguageModel base) {
        return logits(base.model());
    }

    private static float[] logits(CausalLM model) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return Tensors.toFloats(model.logits(
                    model.hidden(ModelInput.padded(model.tokens(new long[] {1, 2, 17, 80, 5, 410}, 1, 6)))));
        }
    }

    @Test
    void loftqStartsCloserToTheFullModelThanPlainQuantization() {
        float[] full;
        try (LanguageModel base = exact(model).load()) {
            full = logits(base);
        }
        try (FineTunedModel tuned = tuner(t -> t.maxSteps(1).learningRate(1e-9))
                .qlora(q -> q.rank(16).initWeights(LoraInit.loftq()))
                .train()) {
            double plain = TensorData.relativeError(full, logits(tuned.base()));
            double corrected =
                    TensorData.relativeError(full, logits(tuned.adapter().orElseThrow()));
            assertTrue(corrected < 0.8 * plain, plain + " -> " + corrected);
        }
    }

    @Test
    void startsFromTheBaseChangeNothingAtFirst() {
        for (LoraInit start : List.of(LoraInit.pissa(), new LoraInit.Pissa(8), LoraInit.olora())) {
            try (FineTunedModel tuned = tuner(t -> t.maxSteps(1).learningRate(1e-12))
                    .lora(l -> l.rank(8).initWeights(start))
                    .train()) {
                double error = TensorData.relativeError(
                        logits(tuned.base()), logits(tuned.adapter().orElseThrow()));
                assertTrue(error < 1e-5, start + ": " + error);
            }
        }
    }

    @Test
    void whatFreezeTuningCannotTrainIsSaidBeforeAnythingIsRead() {
        String message = assertThrows(
                        SettingsException.class,
                        () -> tuner().freeze(f -> f.lastLayers(9)
                                        .modules("mlp", "experts")
                                        .extraModules("wte"))
                                .train())
                .getMessage();
        for (String part :
                List.of("of 9 layers was asked for, but the model has 2", "called experts;", "called wte;")) {
            assertTrue(message.contains(part), message);
        }
        assertTrue(assertThrows(
                        SettingsException.class,
                        () -> tuner().freeze(f -> {})
                                .quantize(QuantSettings.nf4())
                                .build())
                .getMessage()
                .contains("leave quantize(…) out"));
        assertTrue(assertThrows(
                                SettingsException.class,
                                () -> tuner().freeze(f -> f.lastLayers(0).modules(" "))
                                        .build())
                        .problems()
                        .size()
                == 2);
    }

    @Test
    void methodsWithFewValuesLearnTooWithTheirUsualRates() {
        for (UnaryOperator<FineTuner.Builder> method : List.<UnaryOperator<FineTuner.Builder>>of(
                FineTuner.Builder::ia3,
                b -> b.vera(v -> v.rank(64)),
                FineTuner.Builder::lnTuning,
                b -> b.freeze(f -> f.firstLayers(1)),
                b -> b.prefixTuning(8),
                b -> b.pTuning(8),
                b -> b.promptTuning(8))) {
            try (FineTunedModel tuned = method.apply(tuner(t -> t.maxSteps(40))).train()) {
                double first = tuned.report().steps().get(0).loss();
                assertTrue(
                        tuned.report().finalLoss() < first - 0.1,
                        first + " -> " + tuned.report().finalLoss());
            }
        }
    }
}
