package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Compiles and runs the example of docs/export.md. */
class ExportGuideTest {
    private static final Pattern JAVA_BLOCK = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);

    @TempDir
    Path folder;

    @Test
    void theExampleCompilesAndRuns() throws Exception {
        train("polite", 1);
        train("brief", 2);
        Path source = folder.resolve("Guide.java");
        Files.writeString(source, """
                import dev.finetune4j.*;
                import dev.finetune4j.core.*;
                import dev.finetune4j.lora.adapter.*;
                import java.nio.file.*;
                public class Guide {
                    public static void main(String[] args) {
                %s
                    }
                }
                """.formatted(block()));
        int status = ToolProvider.getSystemJavaCompiler()
                .run(
                        null,
                        null,
                        null,
                        "-cp",
                        System.getProperty("java.class.path"),
                        "-d",
                        folder.toString(),
                        source.toString());
        assertEquals(0, status, "the guide's code does not compile");
        String printed = run(
                Bundled.baseModel().toString(),
                folder.resolve("polite").toString(),
                folder.resolve("brief").toString(),
                folder.toString());
        assertEquals(3, printed.lines().count(), printed);
        assertTrue(printed.lines().allMatch(line -> line.endsWith("computes the same")), printed);
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

    private String run(String... arguments) throws Exception {
        PrintStream console = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        try (URLClassLoader loader = new URLClassLoader(
                new URL[] {folder.toUri().toURL()}, getClass().getClassLoader())) {
            System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
            loader.loadClass("Guide").getMethod("main", String[].class).invoke(null, (Object) arguments);
        } finally {
            System.setOut(console);
        }
        return printed.toString(StandardCharsets.UTF_8);
    }

    private static String block() throws IOException {
        Path guide =
                Files.exists(Path.of("../docs/export.md")) ? Path.of("../docs/export.md") : Path.of("docs/export.md");
        Matcher matcher = JAVA_BLOCK.matcher(Files.readString(guide));
        assertTrue(matcher.find(), "the guide has an example");
        return matcher.group(1);
    }
}
