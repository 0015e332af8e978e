package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a folder of reference numbers may lack or have too much is found. */
class ReferenceCollectionTest {
    @Test
    void whatNoCaseReadsIsNamed(@TempDir Path root) throws IOException {
        Files.createDirectories(root.resolve("models/tiny/deep"));
        Files.createDirectories(root.resolve("speech"));
        for (String file : List.of(
                "README.md",
                "models/tiny/config.json",
                "models/tiny/model.safetensors",
                "models/tiny/golden_loss.txt",
                "models/golden.json",
                "preference.json",
                "bnb.safetensors")) {
            Files.writeString(root.resolve(file), "{}");
        }
        ReferenceCollection collection = ReferenceCollection.of(new ReferenceFolder(root));
        assertEquals(
                List.of(
                        "bnb.safetensors",
                        "models/golden.json",
                        "models/tiny/deep",
                        "models/tiny/golden_loss.txt",
                        "preference.json",
                        "speech"),
                collection.uncovered().stream()
                        .map(path -> path.replace('\\', '/'))
                        .toList());
    }

    @Test
    void aFileThatACaseNeedsMustBeThere(@TempDir Path root) throws IOException {
        Files.createDirectories(root.resolve("models/tiny"));
        Files.createDirectories(root.resolve("adapters/lora"));
        Files.createDirectories(root.resolve("trajectories/lora"));
        List<ReferenceCase> cases =
                ReferenceCollection.of(new ReferenceFolder(root)).cases();
        assertEquals(8, cases.size());
        for (ReferenceCase one : cases) {
            assertThrows(Exception.class, () -> one.check().run(new Closeness()), one::toString);
        }
    }

    @Test
    void whatTheReportAnnouncesMustBeThere(@TempDir Path root) throws IOException {
        Files.createDirectories(root.resolve("models/llama_small"));
        Files.writeString(
                root.resolve("REPORT.json"),
                "{\"done\": [\"model llama_small\", \"model llama\", \"adapter lora\", \"sampling\", \"trajectory\"]}");
        ReferenceCollection collection = ReferenceCollection.of(new ReferenceFolder(root));
        assertEquals(List.of("model llama", "adapter lora", "sampling", "trajectory"), collection.missing());
    }

    @Test
    void theBaseIsTheStatedOneOrTheOneThatTheNameBeginsWith(@TempDir Path root) throws IOException {
        for (String folder : List.of("models/llama", "models/llama_tied", "models/qwen", "bnb/llama_nf4")) {
            Files.createDirectories(root.resolve(folder));
        }
        ReferenceFolder reference = new ReferenceFolder(root);
        assertEquals(root.resolve("models/qwen"), reference.base("models/qwen", "llama_tied"));
        assertEquals(root.resolve("bnb/llama_nf4"), reference.base("bnb/llama_nf4", ""));
        assertEquals(root.resolve("models/llama_tied"), reference.base("", "llama_tied_nf4_double"));
        assertEquals(root.resolve("models/llama"), reference.base("null", "rslora"));
    }

    @Test
    void aBaseThatCannotBeToldIsAnError(@TempDir Path root) throws IOException {
        Files.createDirectories(root.resolve("models/a"));
        assertEquals(root.resolve("models/a"), new ReferenceFolder(root).base("", "lora"));
        Files.createDirectories(root.resolve("models/b"));
        String message = assertThrows(IllegalStateException.class, () -> new ReferenceFolder(root).base("", "lora"))
                .getMessage();
        assertTrue(message.contains("lora"), message);
    }

    @Test
    void thePartInTheResourcesIsCoveredAsAWhole() {
        ReferenceCollection collection = ReferenceCollection.of(new ReferenceFolder(Fixtures.reference("")));
        assertTrue(collection.cases().size() > 30);
        assertEquals(List.of(), collection.uncovered());
    }
}
