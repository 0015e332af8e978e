package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ModelFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is said of a path that is something else than the folder that was asked for. */
class WrongFolderTest {
    private static final String MODEL = "config.json";
    private static final String ADAPTER = "adapter_config.json";

    @TempDir
    private Path folder;

    private Path file(String name, String text) throws IOException {
        Path file = folder.resolve(name);
        Files.createDirectories(file.getParent());
        return Files.writeString(file, text);
    }

    private static String refused(Path path, String wanted) {
        return assertThrows(ModelFileException.class, () -> WrongFolder.refuse(path, wanted))
                .getMessage();
    }

    private static void contains(String message, String part) {
        assertTrue(message.contains(part), message);
    }

    @Test
    void theRightFolderPasses() throws IOException {
        file(MODEL, "{}");
        WrongFolder.refuse(folder, MODEL);
    }

    @Test
    void aHubId() {
        contains(
                refused(Path.of("Qwen/Qwen2.5-0.5B-Instruct"), MODEL),
                "hub ids are not resolved: fetch it first, such as by \"hf download Qwen/Qwen2.5-0.5B-Instruct --local-dir");
        contains(refused(Path.of("someone/lora"), ADAPTER), "hub ids are not resolved");
        assertFalse(refused(folder.resolve("models/none"), MODEL).contains("hub"));
    }

    @Test
    void aWebAddressAndTheShellsHome() {
        contains(
                refused(Path.of("https://huggingface.co/Qwen/Qwen2.5-0.5B/tree/main"), MODEL),
                "web addresses are not fetched: fetch it first, such as by \"hf download Qwen/Qwen2.5-0.5B --local-dir");
        contains(refused(Path.of("hf://someone/model"), MODEL), "hf download someone/model");
        contains(refused(Path.of("~/models/x"), MODEL), "write " + System.getProperty("user.home") + "/models/x");
    }

    @Test
    void anAdapterForAModelAndAModelForAnAdapter() throws IOException {
        file("a/adapter_config.json", "{\"base_model_name_or_path\": \"01-ai/Yi-1.5-6B-Chat\"}");
        contains(
                refused(folder.resolve("a"), MODEL),
                "it is an adapter: load its base model (01-ai/Yi-1.5-6B-Chat), then call loadAdapter with this folder");
        file("a/config.json", "{\"model_type\": \"llama\"}");
        contains(
                assertThrows(
                                ModelFileException.class,
                                () -> ModelFiles.open(folder.resolve("a")).weights())
                        .getMessage(),
                "it is an adapter: load its base model (01-ai/Yi-1.5-6B-Chat), then call loadAdapter with this folder");
        file("b/adapter_config.json", "no JSON");
        contains(refused(folder.resolve("b"), MODEL), "load its base model, then call loadAdapter");
        file("m/config.json", "{}");
        contains(refused(folder.resolve("m"), ADAPTER), "it is a model: load it with LanguageModel.load");
    }

    @Test
    void theHubsCache() throws IOException {
        file("models--a--b/snapshots/0123/config.json", "{}");
        file("models--a--b/snapshots/4567/config.json", "{}");
        Path snapshots = folder.resolve("models--a--b/snapshots");
        contains(refused(snapshots.getParent(), MODEL), snapshots.resolve("0123") + " or " + snapshots.resolve("4567"));
        contains(refused(snapshots, MODEL), "give the folder below: " + snapshots.resolve("0123"));
        file("models--a--b/refs/main", "4567\n");
        contains(refused(snapshots.getParent(), MODEL), "give the folder below: " + snapshots.resolve("4567") + ".");
        contains(refused(folder, MODEL), "give the folder below: " + snapshots.resolve("4567") + ".");
    }

    @Test
    void theFolderAbove() throws IOException {
        file("one/config.json", "{}");
        contains(refused(folder, MODEL), "give the folder below: " + folder.resolve("one") + ".");
        for (String name : new String[] {"two", "x3", "x4", "x5"}) {
            file(name + "/config.json", "{}");
        }
        contains(refused(folder, MODEL), " or " + folder.resolve("x3") + " or one of 2 more");
    }

    @Test
    void filesOfOtherKinds() throws IOException {
        Path gguf = file("model.GGUF", "GGUF");
        contains(refused(gguf, MODEL), "GGUF files are not read");
        contains(refused(folder, MODEL), "GGUF files are not read");
        contains(refused(file("c/weights.bin", ""), MODEL), "is no folder; give the folder that holds it");
        Path empty = Files.createDirectory(folder.resolve("empty"));
        assertEquals(
                empty + " has no config.json, so it is no model folder; give a model folder with"
                        + " config.json, safetensors weights and a tokenizer. Found: nothing",
                refused(empty, MODEL));
    }
}
