package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a save leaves in folders that hold something already, and what it does when the base's folder has changed. */
class SavedFoldersTest {
    private static final String TEMPLATE = "chat_template.jinja";

    @TempDir
    private Path scratch;

    private Path model;

    @BeforeEach
    void makeModel() {
        model = Fixtures.tinyChatModel(scratch.resolve("model"));
    }

    private FineTuner.Builder tuner(Path base) {
        Path data = Fixtures.alpaca(scratch.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?");
        return FineTuner.builder()
                .model(base)
                .dataset(data)
                .training(t -> t.maxSteps(2).learningRate(1e-2))
                .precision(Precision.FP32)
                .device(ComputeDevice.cpu());
    }

    private FineTunedModel adapter(Path base) {
        return tuner(base).lora(l -> l.rank(4)).train();
    }

    private static String ask(ChatModel asked) {
        try (ChatSession chat =
                asked.chat(GenerationSettings.builder().maxNewTokens(12).build())) {
            return chat.send("Who are you?");
        }
    }

    private static void assertAnswers(String expected, Path folder) {
        try (LanguageModel loaded = LanguageModel.loader(folder)
                .precision(Precision.FP32)
                .device(ComputeDevice.cpu())
                .load()) {
            assertEquals(expected, ask(loaded));
        }
    }

    @Test
    void theTemplateOfTheTrainingTakesThePlaceOfAnother() throws IOException {
        String own = Files.readString(model.resolve(TEMPLATE));
        try (FineTunedModel tuned = adapter(model)) {
            for (String other : List.of("merged", "adapter")) {
                Path folder = Files.createDirectories(scratch.resolve(other));
                Files.writeString(folder.resolve(TEMPLATE), "{{ 'another' }}");
                Files.writeString(folder.resolve("LICENSE"), "mine");
                if (other.equals("merged")) {
                    tuned.export(folder, ModelFormat.huggingFace(Precision.FP32));
                    assertAnswers(ask(tuned), folder);
                } else {
                    tuned.save(folder);
                }
                assertEquals(own, Files.readString(folder.resolve(TEMPLATE)), other);
                assertEquals("mine", Files.readString(folder.resolve("LICENSE")), other);
            }
        }
    }

    @Test
    void aFullyTunedModelTakesThePlaceOfItsBase() throws IOException {
        String own = Files.readString(model.resolve(TEMPLATE));
        Files.writeString(model.resolve("merges.txt"), "#version: 0.2");
        try (FineTunedModel tuned = tuner(model).full().train()) {
            tuned.export(model, ModelFormat.huggingFace(Precision.FP32));
            assertEquals(own, Files.readString(model.resolve(TEMPLATE)));
            assertEquals("#version: 0.2", Files.readString(model.resolve("merges.txt")));
            tuned.export(model, ModelFormat.huggingFace(Precision.FP32));
            assertAnswers(ask(tuned), model);
        }
    }

    @Test
    void aModelOfSomebodyElseIsNotReplaced() throws IOException {
        Path other = Fixtures.tinyChatModel(scratch.resolve("other"));
        byte[] weights = Files.readAllBytes(other.resolve("model.safetensors"));
        try (FineTunedModel full = tuner(model).full().train();
                FineTunedModel tuned = adapter(model)) {
            for (FineTunedModel refused : List.of(full, tuned)) {
                String message = assertThrows(
                                FineTune4jException.class,
                                () -> refused.export(other, ModelFormat.huggingFace(Precision.FP32)))
                        .getMessage();
                assertTrue(message.contains("was not written by this library"), message);
                assertTrue(message.contains("what was there before is unchanged"), message);
            }
        }
        assertArrayEquals(weights, Files.readAllBytes(other.resolve("model.safetensors")));
    }

    @Test
    void aBaseOfLinksIsSavedWithAllThatItWasReadFrom() throws IOException {
        Path linked = Files.createDirectories(scratch.resolve("linked"));
        try (Stream<Path> files = Files.list(model)) {
            for (Path file : files.toList()) {
                Files.createSymbolicLink(linked.resolve(file.getFileName()), file);
            }
        }
        Files.createSymbolicLink(
                linked.resolve("notes.txt"), Files.writeString(scratch.resolve("private.txt"), "private"));
        try (FineTunedModel tuned = adapter(linked)) {
            Path merged = scratch.resolve("merged");
            tuned.export(merged, ModelFormat.huggingFace(Precision.FP32));
            assertAnswers(ask(tuned), merged);
            assertFalse(Files.exists(merged.resolve("notes.txt")), "a link to a file that was not read");
            Path saved = scratch.resolve("adapter");
            tuned.save(saved);
            assertEquals(Files.readString(model.resolve(TEMPLATE)), Files.readString(saved.resolve(TEMPLATE)));
            assertTrue(Files.isRegularFile(saved.resolve("tokenizer.json")));
        }
    }

    @Test
    void mergingIntoWeightsThatReplacedTheBaseIsRefused() {
        Path merged = scratch.resolve("merged");
        try (FineTunedModel tuned = adapter(model);
                FineTunedModel other = tuner(model).full().train()) {
            other.export(model, ModelFormat.huggingFace(Precision.FP32));
            ModelFileException refusal = assertThrows(
                    ModelFileException.class, () -> tuned.export(merged, ModelFormat.huggingFace(Precision.FP32)));
            assertTrue(refusal.getMessage().contains(model + " was replaced by another model"), refusal.getMessage());
            assertFalse(Files.exists(merged));
        }
    }

    @Test
    void anAdapterIsSavedEvenWhenTheFolderOfItsBaseIsGone() throws IOException {
        Path moved = scratch.resolve("moved");
        try (FineTunedModel tuned = adapter(model)) {
            String answer = ask(tuned);
            Files.move(model, moved);
            Path saved = scratch.resolve("adapter");
            tuned.save(saved);
            FineTune4jException refusal = assertThrows(
                    FineTune4jException.class,
                    () -> tuned.export(scratch.resolve("merged"), ModelFormat.huggingFace(Precision.FP32)));
            assertTrue(refusal.getMessage().contains(model + " "), refusal.getMessage());
            try (LanguageModel base = LanguageModel.loader(moved)
                            .precision(Precision.FP32)
                            .device(ComputeDevice.cpu())
                            .load();
                    Adapter loaded = base.loadAdapter(saved)) {
                assertEquals(answer, ask(loaded));
            }
        }
    }
}
