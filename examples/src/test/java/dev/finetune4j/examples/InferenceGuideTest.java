package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The examples of docs/inference.md compile, run, and print what the text says. */
class InferenceGuideTest {
    private static final Pattern JAVA_BLOCK = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);

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
        Path source = folder.resolve("Guide.java");
        Files.writeString(source, source());
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
                        "[zhang]"),
                run(Bundled.baseModel(), adapter));
    }

    private static String source() throws Exception {
        Path guide = Path.of("../docs/inference.md");
        String text = Files.readString(Files.exists(guide) ? guide : Path.of("docs/inference.md"));
        StringBuilder methods = new StringBuilder();
        StringBuilder calls = new StringBuilder();
        Matcher matcher = JAVA_BLOCK.matcher(text);
        for (int i = 0; matcher.find(); i++) {
            methods.append("static void example" + i + "(Path folder, Path adapterFolder) throws Exception {\n");
            methods.append(matcher.group(1)).append("}\n");
            calls.append("example" + i + "(folder, adapterFolder);\n");
        }
        return """
                import dev.finetune4j.*;
                import dev.finetune4j.core.generate.*;
                import dev.finetune4j.core.text.*;
                import java.nio.file.*;
                import java.util.*;
                public class Guide {
                    public static void run(Path folder, Path adapterFolder) throws Exception {
                %s
                    }
                %s
                }
                """.formatted(calls, methods);
    }

    private List<String> run(Path model, Path adapter) throws Exception {
        PrintStream console = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        try (URLClassLoader loader = new URLClassLoader(
                new URL[] {folder.toUri().toURL()}, getClass().getClassLoader())) {
            System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
            loader.loadClass("Guide").getMethod("run", Path.class, Path.class).invoke(null, model, adapter);
        } finally {
            System.setOut(console);
        }
        return printed.toString(StandardCharsets.UTF_8).lines().toList();
    }
}
