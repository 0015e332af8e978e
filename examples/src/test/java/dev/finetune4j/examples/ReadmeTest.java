package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The Java examples of the README compile, run, and do what the text says. */
class ReadmeTest {
    private static final Pattern JAVA_BLOCK = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);

    @TempDir
    private Path folder;

    @Test
    void theExamplesCompileAndRun() throws Exception {
        List<String> blocks = javaBlocks();
        assertEquals(
                8,
                blocks.size(),
                "the README has examples of training, listeners, loading, many texts, another method, preferences, planning,"
                        + " going on");
        assertTrue(blocks.get(0).lines().count() <= 12, "the first example has at most 12 lines");
        Path source = folder.resolve("Snippet.java");
        Files.writeString(source, """
                import dev.finetune4j.core.generate.*;
                import dev.finetune4j.core.text.*;
                import dev.finetune4j.core.*;
                import dev.finetune4j.*;
                import dev.finetune4j.data.*;
                import dev.finetune4j.lora.adapter.*;
                import dev.finetune4j.lora.plan.*;
                import dev.finetune4j.lora.report.*;
                import dev.finetune4j.quant.*;
                import java.nio.file.*;
                import java.time.Duration;
                import java.util.*;
                import java.util.stream.*;
                public class Snippet {
                    public static void main(String[] args) throws Exception {
                %s
                    }
                }
                """.formatted(String.join("\n", blocks.subList(0, 3))
                + "System.out.println();\n"
                + String.join("\n", blocks.subList(3, 8))));
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
        assertEquals(0, status, "the README's code does not compile");
        List<String> lines = run(
                Bundled.baseModel().toString(),
                Bundled.identityDataset().toString(),
                folder.resolve("adapter").toString());
        assertEquals(20, lines.size(), lines.toString());
        assertEquals("我是张三，由某某公司开发。", lines.get(0), "the first example, word for word, prints the new identity");
        assertTrue(lines.get(1).contains("通用助手"), "the base alone says who it was: " + lines.get(1));
        assertEquals("我叫张三。", lines.get(2), "and so does the saved adapter");
        assertEquals("我叫张三。", lines.get(3), "many texts at once are those of each alone");
        assertTrue(lines.get(4).contains("张三"), lines.get(4));
        assertTrue(lines.get(5).contains("通用助手"), "beside them the base answers: " + lines.get(5));
        assertTrue(lines.get(6).startsWith("1.0 ") && lines.get(6).contains("张三"), lines.get(6));
        assertTrue(lines.get(7).startsWith("4 x 512 tokens on "), lines.get(7));
        assertEquals("it fits", lines.get(18));
        assertTrue(Files.exists(folder.resolve("adapter/adapter_model.safetensors")));
        assertTrue(Files.exists(folder.resolve("best/adapter_model.safetensors")));
        assertTrue(Files.exists(folder.resolve("logs/trainer_log.jsonl")));
        assertTrue(Files.exists(folder.resolve("merged/model.safetensors")));
        assertTrue(Double.parseDouble(lines.get(19)) > 0, lines.get(19));
        assertTrue(Files.exists(folder.resolve("checkpoints/checkpoint-12/trainer_state.json")));
        assertTrue(Files.exists(folder.resolve("resumed/run.json")));
    }

    private List<String> run(String... arguments) throws Exception {
        PrintStream console = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        try (URLClassLoader loader = new URLClassLoader(
                new URL[] {folder.toUri().toURL()}, getClass().getClassLoader())) {
            System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
            loader.loadClass("Snippet").getMethod("main", String[].class).invoke(null, (Object) arguments);
        } finally {
            System.setOut(console);
        }
        return printed.toString(StandardCharsets.UTF_8).lines().toList();
    }

    private static List<String> javaBlocks() throws IOException {
        Path readme = Files.exists(Path.of("../README.md")) ? Path.of("../README.md") : Path.of("README.md");
        Matcher matcher = JAVA_BLOCK.matcher(Files.readString(readme));
        List<String> blocks = new ArrayList<>();
        while (matcher.find()) {
            blocks.add(matcher.group(1));
        }
        return blocks;
    }
}
