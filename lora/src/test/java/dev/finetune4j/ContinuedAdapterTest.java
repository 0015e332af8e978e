package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.PrefixSettings;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** An adapter that was saved is trained further, and preferences on top of it are compared with what it was. */
class ContinuedAdapterTest {
    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello");
    }

    private FineTuner.Builder tuner(int steps, double rate) {
        return FineTuner.builder()
                .model(model)
                .training(t -> t.maxSteps(steps).batchSize(3).learningRate(rate))
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32);
    }

    private Path trained(UnaryOperator<FineTuner.Builder> method) {
        Path saved = folder.resolve("first");
        try (FineTunedModel tuned = method.apply(tuner(4, 5e-3)).dataset(data).train()) {
            tuned.save(saved);
        }
        return saved;
    }

    private static Map<String, float[]> values(FineTunedModel tuned) {
        Map<String, float[]> values = new LinkedHashMap<>();
        tuned.adapter()
                .orElseThrow()
                .peft()
                .parameters()
                .forEach((name, tensor) -> values.put(name, Tensors.toFloats(tensor)));
        return values;
    }

    static Stream<Arguments> methods() {
        return Stream.<Arguments>of(
                method(
                        "dora with dropout",
                        b -> b.lora(l -> l.rank(3).useDora(true).dropout(0.1))),
                method(
                        "pissa and a whole module",
                        b -> b.lora(l -> l.rank(4).initWeights(LoraInit.pissa()).modulesToSave("model.norm"))),
                method("ia3", FineTuner.Builder::ia3),
                method("vera", b -> b.vera(v -> v.rank(8))),
                method("ln tuning", FineTuner.Builder::lnTuning),
                method("freeze", b -> b.freeze(f -> f.lastLayers(1))),
                method("prefix", b -> b.prefixTuning(3)),
                method("prompt", b -> b.promptTuning(3)));
    }

    private static Arguments method(String name, UnaryOperator<FineTuner.Builder> method) {
        return Arguments.of(name, method);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void eachKindGoesOnFromWhereItWas(String name, UnaryOperator<FineTuner.Builder> method) throws IOException {
        Path first = trained(method);
        byte[] weights = Files.readAllBytes(first.resolve("adapter_model.safetensors"));
        Path second = folder.resolve("second");
        try (FineTunedModel tuned =
                tuner(2, 1e-12).continueAdapter(first).dataset(data).train()) {
            tuned.save(second);
            try (LanguageModel base = LanguageModel.loader(model)
                            .device(ComputeDevice.cpu())
                            .precision(Precision.FP32)
                            .load();
                    Adapter before = base.loadAdapter(first)) {
                Map<String, float[]> now = values(tuned);
                before.peft()
                        .parameters()
                        .forEach(
                                (key, tensor) -> assertArrayEquals(Tensors.toFloats(tensor), now.get(key), 1e-6f, key));
                assertEquals(
                        before.parameterCount(), tuned.adapter().orElseThrow().parameterCount());
            }
        }
        assertEquals(
                TestData.json(first.resolve("adapter_config.json")),
                TestData.json(second.resolve("adapter_config.json")));
        try (FineTunedModel tuned =
                tuner(6, 5e-3).continueAdapter(first).dataset(data).train()) {
            List<StepReport> steps = tuned.report().steps();
            assertTrue(tuned.report().finalLoss() < steps.get(0).loss(), "it learns on");
        }
        assertArrayEquals(weights, Files.readAllBytes(first.resolve("adapter_model.safetensors")), "it stays as it is");
    }

    private static Dataset pairs() {
        return Dataset.of(List.of(
                PreferenceExample.of("Who are you?", "I am Zoe.", "I am nobody."),
                PreferenceExample.of("Your name?", "It is Zoe.", "I have none."),
                PreferenceExample.of("Hello", "Hello, I am Zoe.", "Go away.")));
    }

    /** The check of the first step holds the rewards to 0, which they are against no other reference. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void preferencesAreComparedWithTheAdapterAsItWas(String name, UnaryOperator<FineTuner.Builder> method) {
        Path first = trained(method);
        try (FineTunedModel tuned = tuner(8, 5e-3)
                .continueAdapter(first)
                .dpo(d -> d.beta(0.5))
                .dataset(pairs())
                .train()) {
            List<StepReport> steps = tuned.report().steps();
            double start = steps.get(0).metrics().get("rewards/margins");
            double end = steps.get(steps.size() - 1).metrics().get("rewards/margins");
            if (!name.contains("dropout")) {
                assertEquals(0, start, 1e-5);
            }
            assertTrue(end > 0.01, "the reference does not move with it: " + end);
        }
    }

    @Test
    void theFrozenCopyIsPlanned() {
        Path first = trained(b -> b.lora(l -> l.rank(4)));
        MemoryPlan alone =
                tuner(1, 1e-3).continueAdapter(first).dataset(data).build().plan();
        MemoryPlan compared = tuner(1, 1e-3)
                .continueAdapter(first)
                .dpo()
                .dataset(pairs())
                .build()
                .plan();
        assertTrue(alone.bytes().adapter() > 0);
        assertEquals(2 * alone.bytes().adapter(), compared.bytes().adapter());
        assertEquals(alone.bytes().gradients(), compared.bytes().gradients());
    }

    @Test
    void whatCannotGoOnIsSaid() {
        Path projected = trained(b -> b.adapter(new PrefixSettings(3, 16, false)));
        assertIn(
                assertThrows(
                        SettingsException.class,
                        () -> tuner(1, 1e-3)
                                .continueAdapter(projected)
                                .dataset(data)
                                .build()),
                "but not the network");
        assertIn(
                assertThrows(
                        ModelFileException.class,
                        () -> tuner(1, 1e-3)
                                .continueAdapter(folder.resolve("nowhere"))
                                .dataset(data)
                                .build()),
                "adapter_config.json");
        assertIn(
                assertThrows(
                        IllegalStateException.class,
                        () -> tuner(1, 1e-3).lora(l -> {}).continueAdapter(projected)),
                "method was already set");
        assertIn(
                assertThrows(
                        SettingsException.class,
                        () -> FineTuner.builder()
                                .continueAdapter(projected)
                                .dataset(data)
                                .build()),
                "no model was chosen");
    }

    @Test
    void anAdapterOfAnotherBaseIsRefused() {
        Path first = trained(b -> b.lora(l -> l.rank(2)));
        Path other = Fixtures.tinyChatModel(folder.resolve("other"), TestData.resource("bases/llama_tied_bias"));
        model = other;
        assertIn(
                assertThrows(
                        ModelFileException.class,
                        () -> tuner(1, 1e-3)
                                .continueAdapter(first)
                                .dataset(data)
                                .train()),
                "another base model");
    }

    private static void assertIn(RuntimeException thrown, String part) {
        assertTrue(thrown.getMessage().contains(part), thrown.getMessage());
    }
}
