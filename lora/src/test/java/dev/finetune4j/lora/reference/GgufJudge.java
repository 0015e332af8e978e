package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * llama.cpp, asked what a GGUF file computes: its prebuilt library in the npm package node-llama-cpp, by {@code gguf/judge.mjs}.
 * The system property {@value #PROPERTY} names the folder where the package is installed, or shall be by npm.
 */
final class GgufJudge {
    static final String PROPERTY = "finetune4j.judge";

    private static final String PACKAGE = "node-llama-cpp@3.21.1";
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path library;
    private final Path temporary;

    private GgufJudge(Path library, Path temporary) {
        this.library = library;
        this.temporary = temporary;
    }

    /** The judge; the test is skipped where none is named or npm cannot install it. */
    static GgufJudge find(Path temporary) {
        String named = System.getProperty(PROPERTY);
        Needs.that(
                named != null,
                "-D" + PROPERTY + "=FOLDER names no folder in which llama.cpp (npm " + PACKAGE
                        + ") is or can be installed");
        Path folder = Path.of(named).toAbsolutePath();
        Path library = folder.resolve("node_modules/node-llama-cpp/dist/index.js");
        if (!Files.isRegularFile(library)) {
            Needs.that(install(folder), "npm cannot install " + PACKAGE + " in " + folder);
        }
        return new GgufJudge(library, temporary);
    }

    private static boolean install(Path folder) {
        try {
            Files.createDirectories(folder);
            return run(folder, List.of("npm", "install", "--save-exact", "--ignore-scripts", PACKAGE), folder) == 0;
        } catch (IOException e) {
            return false;
        }
    }

    static ObjectNode question(String kind, Path model) {
        return JSON.createObjectNode().put("kind", kind).put("model", model.toString());
    }

    /** The answers to some questions. */
    JsonNode ask(List<ObjectNode> questions) throws IOException {
        Path script = TestData.resource("gguf/judge.mjs");
        Path asked = temporary.resolve("questions.json");
        Path answered = temporary.resolve("answers.json");
        JSON.writeValue(asked.toFile(), questions);
        Files.deleteIfExists(answered);
        int code = run(temporary, List.of("node", script.toString(), asked.toString(), answered.toString()), library);
        assertEquals(0, code, () -> "llama.cpp failed: " + log());
        return JSON.readTree(answered.toFile());
    }

    private String log() {
        try {
            return Files.readString(temporary.resolve("judge.log"));
        } catch (IOException e) {
            return "no log";
        }
    }

    private static int run(Path folder, List<String> command, Path library) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("judge.log").toFile());
        builder.environment().put("NODE_LLAMA_CPP", library.toString());
        Process process = builder.start();
        try {
            if (!process.waitFor(10, TimeUnit.MINUTES)) {
                process.destroyForcibly();
                return -1;
            }
            return process.exitValue();
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
            return -1;
        }
    }
}
