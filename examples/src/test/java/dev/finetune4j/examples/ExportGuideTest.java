package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compiles and runs the example of docs/export.md. */
class ExportGuideTest {
    @TempDir
    Path folder;

    @Test
    void theExampleCompilesAndRuns() throws Exception {
        train("polite", 1);
        train("brief", 2);
        List<String> blocks = Snippets.blocks("docs/export.md");
        assertEquals(1, blocks.size(), "the guide has one example");
        List<String> printed = Snippets.run(
                folder,
                blocks.get(0),
                Bundled.baseModel().toString(),
                folder.resolve("polite").toString(),
                folder.resolve("brief").toString(),
                folder.toString());
        assertEquals(3, printed.size(), printed.toString());
        assertTrue(printed.stream().allMatch(line -> line.endsWith("computes the same")), printed.toString());
        for (String file : new String[] {
            "merged/model.safetensors",
            "merged.gguf",
            "ollama/model.gguf",
            "ollama/Modelfile",
            "base.gguf",
            "adapter.gguf",
            "both/adapter_model.safetensors",
            "again/model.safetensors"
        }) {
            assertTrue(Files.size(folder.resolve(file)) > 0, file);
        }
        assertEquals(
                -1,
                Files.mismatch(folder.resolve("merged/model.safetensors"), folder.resolve("again/model.safetensors")),
                "merged with the base in memory or without it");
        assertTrue(Files.readString(folder.resolve("again/README.md")).contains("same likeliest token"));
    }

    private void train(String name, long seed) {
        try (FineTunedModel tuned = FineTuner.builder()
                .model(Bundled.baseModel())
                .lora(l -> l.rank(4))
                .dataset(Bundled.identityDataset())
                .placeholder("name", "Zoe")
                .placeholder("author", "Acme")
                .training(t -> t.maxSteps(2).seed(seed))
                .train()) {
            tuned.save(folder.resolve(name));
        }
    }
}
