package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The example of docs/models.md compiles and runs, against a hub on this machine that has the bundled model under every name. */
class ModelsPageTest {
    @TempDir
    private Path folder;

    @Test
    void theExampleDownloadsAnswersAndTrains() throws Exception {
        Path page = Path.of("../docs/models.md");
        Matcher block = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(page));
        assertTrue(block.find(), page + " has an example");
        Path source = Files.writeString(folder.resolve("Snippet.java"), """
                import dev.finetune4j.*;
                import dev.finetune4j.core.hub.*;
                import java.nio.file.*;
                public class Snippet {
                    public static void main(String[] args) throws Exception {
                        Path rows = Path.of(args[0]);
                %s
                    }
                }
                """.formatted(block.group(1)));
        String classPath = System.getProperty("java.class.path");
        assertEquals(
                0,
                ToolProvider.getSystemJavaCompiler()
                        .run(null, null, null, "-cp", classPath, "-d", folder.toString(), source.toString()),
                "the page's code does not compile");
        try (LocalHub hub = new LocalHub()) {
            List<String> printed = run(hub, classPath);
            assertEquals("我是通用助手，由开放实验室开发。", printed.get(printed.size() - 2), printed.toString());
            assertEquals("2", printed.get(printed.size() - 1), printed.toString());
            assertEquals("6 of 6 MB", printed.get(printed.size() - 3), printed.toString());
            assertEquals(
                    1 + LocalHub.names().size(),
                    hub.requests(),
                    "one listing, and each file once; the training asked for nothing");
        }
    }

    private List<String> run(LocalHub hub, String classPath) throws Exception {
        Path rows = Files.writeString(folder.resolve("rows.jsonl"), """
                {"instruction": "你是谁?", "output": "我是张三。"}
                {"instruction": "你叫什么名字?", "output": "我叫张三。"}
                """);
        ProcessBuilder builder = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx512m",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-cp",
                folder + System.getProperty("path.separator") + classPath,
                "Snippet",
                rows.toString());
        builder.environment().put("HF_ENDPOINT", hub.address());
        builder.environment().put("HF_HOME", folder.resolve("hf").toString());
        builder.environment()
                .keySet()
                .removeAll(List.of("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"));
        Process process = builder.redirectError(ProcessBuilder.Redirect.INHERIT).start();
        String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), printed);
        return printed.lines().toList();
    }
}
