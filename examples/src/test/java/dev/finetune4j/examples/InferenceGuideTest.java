package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The examples of docs/inference.md compile, run, and print what the text says. */
class InferenceGuideTest {
    @TempDir
    private Path folder;

    @Test
    void theExamplesCompileAndRun() throws Exception {
        Path adapter = folder.resolve("adapter");
        try (FineTunedModel tuned = FineTuner.builder()
                .model(Bundled.baseModel())
                .dataset(Bundled.identityDataset())
                .placeholder("name", "\u5f20\u4e09")
                .placeholder("author", "A")
                .lora(l -> l.rank(4))
                .training(t -> t.maxSteps(1))
                .train()) {
            tuned.save(adapter);
        }
        assertEquals(
                List.of(
                        "The capital of Japan is Tokyo.",
                        "STOP 7",
                        "The capital of Japan is Tokyo.",
                        "The capital of Japan is Tokyo. STOP",
                        "3",
                        "true",
                        "The 100 %",
                        "true",
                        "true",
                        "STOP true",
                        "3 18 degrees in Paris",
                        "Paris",
                        "true",
                        "[zhang]",
                        "The capital of Japan is Tokyo."),
                Snippets.run(folder, examples(), Bundled.baseModel().toString(), adapter.toString()));
    }

    /** Each in a scope of its own, with the names that the page gives to the folders. */
    private static String examples() throws IOException {
        return Snippets.blocks("docs/inference.md").stream()
                .collect(Collectors.joining(
                        "}\n{\n", "Path folder = Path.of(args[0]), adapterFolder = Path.of(args[1]);\n{\n", "}\n"));
    }
}
