package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Models with new tokens: the old ones as before, the new ones trained, saved, loaded and merged. */
class NewTokensTest {
    private static final List<String> TOKENS = List.of("<plan>", "<answer>");
    private static final long[] PROMPT = {1, 2, 17, 80, 5, 410};

    @TempDir
    private Path folder;

    private Path base(boolean tied) {
        return tied
                ? Fixtures.tinyChatModel(folder.resolve("base"), TestData.resource("bases/llama_tied_bias"))
                : Fixtures.tinyChatModel(folder.resolve("base"));
    }

    private static LanguageModel load(Path model) {
        return LanguageModel.loader(model)
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .load();
    }

    /** Logits of the last position. */
    private static float[] logits(CausalLM model, long... ids) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            float[] all =
                    Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(model.tokens(ids, 1, ids.length)))));
            int width = all.length / ids.length;
            return Arrays.copyOfRange(all, all.length - width, all.length);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void whatTheModelKnewStays(boolean tied) {
        Path base = base(tied);
        LanguageModel.NewTokens extended = LanguageModel.extend(base, folder.resolve("extended"), TOKENS);
        assertEquals(tied ? List.of("embed_tokens") : List.of("embed_tokens", "lm_head"), extended.tables());
        try (Tokenizer before = Tokenizer.load(base);
                Tokenizer after = Tokenizer.load(extended.folder())) {
            assertEquals(
                    List.of(before.vocabularySize(), before.vocabularySize() + 1), extended.ids(), "behind all others");
            assertArrayEquals(before.encode("Who are you?"), after.encode("Who are you?"));
            int[] ids = after.encode("a<plan>b<answer>");
            assertEquals(extended.ids().get(0), ids[1]);
            assertEquals(extended.ids().get(1), ids[3]);
            assertEquals("a<plan>b<answer>", after.decode(ids));
        }
        try (LanguageModel before = load(base);
                LanguageModel after = load(extended.folder())) {
            int rows = after.model().config().vocabSize();
            assertEquals(0, rows % 64);
            float[] old = logits(before.model(), PROMPT);
            float[] now = logits(after.model(), PROMPT);
            assertEquals(rows, now.length);
            TensorData.assertClose("logits", old, Arrays.copyOf(now, old.length), 1e-6);
            // The head's new rows are the mean of the others, so their logits are too.
            int known = extended.ids().get(0);
            double mean = 0;
            for (int i = 0; i < known; i++) {
                mean += old[i] / known;
            }
            assertEquals(mean, now[extended.ids().get(1)], 1e-4);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theirRowsAreTrainedSavedLoadedAndMerged(boolean tied) throws IOException {
        LanguageModel.NewTokens extended = LanguageModel.extend(base(tied), folder.resolve("extended"), TOKENS);
        Path data = Fixtures.alpaca(
                folder.resolve("data.json"), "<plan> I am Zoe. <answer>", "Who are you?", "Your name?", "Hello");
        long[] prompt = Arrays.copyOf(PROMPT, PROMPT.length + 1);
        prompt[PROMPT.length] = extended.ids().get(0);
        Path saved = folder.resolve("adapter");
        float[] trained;
        try (FineTunedModel tuned = FineTuner.builder()
                .model(extended.folder())
                .lora(l -> l.rank(4).trainableTokenIndices(extended.trainableTokenIndices()))
                .dataset(data)
                .training(t -> t.maxSteps(80).batchSize(3).learningRate(3e-2))
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .train()) {
            double first = tuned.report().steps().get(0).loss();
            assertTrue(
                    tuned.report().finalLoss() < 0.5 * first,
                    first + " -> " + tuned.report().finalLoss());
            tuned.save(saved);
            trained = logits(tuned.adapter().orElseThrow().view(), prompt);
            tuned.export(folder.resolve("merged"), ModelFormat.huggingFace(Precision.FP32));
        }
        try (LanguageModel base = load(extended.folder());
                Adapter adapter = base.loadAdapter(saved);
                LanguageModel merged = load(folder.resolve("merged"))) {
            TensorData.assertClose("loaded", trained, logits(adapter.view(), prompt), 1e-5);
            TensorData.assertClose("merged", trained, logits(merged.model(), prompt), 1e-5);
        }
        exportFor(tied ? "tied" : "untied", extended.folder(), saved, trained);
    }

    /** For the comparison with PEFT, in a folder that a property names. */
    private static void exportFor(String name, Path base, Path adapter, float[] logits) throws IOException {
        String target = System.getProperty("finetune4j.trained");
        if (target == null) {
            return;
        }
        for (Map.Entry<String, Path> copied :
                Map.of("base", base, "adapter", adapter).entrySet()) {
            Path to = Files.createDirectories(Path.of(target, "extended_" + name, copied.getKey()));
            try (Stream<Path> files = Files.list(copied.getValue())) {
                for (Path file : files.toList()) {
                    Files.copy(file, to.resolve(file.getFileName()));
                }
            }
        }
        Files.writeString(Path.of(target, "extended_" + name, "logits.json"), Arrays.toString(logits));
    }

    @Test
    void anAdapterIsNotReplaced() throws IOException {
        Path base = base(false);
        Path adapter = Files.createDirectory(folder.resolve("adapter"));
        Files.writeString(adapter.resolve("adapter_config.json"), "{}");
        assertTrue(assertThrows(SettingsException.class, () -> LanguageModel.extend(base, adapter, TOKENS))
                .getMessage()
                .contains("holds an adapter"));
        try (Stream<Path> files = Files.list(adapter)) {
            assertEquals(List.of(adapter.resolve("adapter_config.json")), files.toList());
        }
    }

    @Test
    void whatCannotBeAddedIsSaidAtOnce() {
        Path base = base(false);
        Path target = folder.resolve("extended");
        SettingsException wrong = assertThrows(
                SettingsException.class,
                () -> LanguageModel.extend(base, target, List.of(" ", "<plan>", "<plan>", "a")));
        assertEquals(3, wrong.problems().size(), wrong.getMessage());
        assertThrows(SettingsException.class, () -> LanguageModel.extend(base, target, List.of()));
        assertTrue(assertThrows(SettingsException.class, () -> LanguageModel.extend(base, base, TOKENS))
                .getMessage()
                .contains("choose another"));
        assertTrue(assertThrows(
                        ModelFileException.class, () -> LanguageModel.extend(folder.resolve("nowhere"), target, TOKENS))
                .getMessage()
                .contains("nowhere does not exist"));
        assertTrue(Files.notExists(target), "nothing is left half-done");
    }
}
