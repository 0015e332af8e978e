package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;

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

/** The Java code of a page of the documentation, compiled and run. */
public final class Snippets {
    private static final Pattern JAVA_BLOCK = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);

    private static final String IMPORTS = """
        import dev.finetune4j.core.generate.*;
        import dev.finetune4j.core.text.*;
        import dev.finetune4j.core.*;
        import dev.finetune4j.*;
        import dev.finetune4j.data.*;
        import dev.finetune4j.lora.adapter.*;
        import dev.finetune4j.lora.eval.*;
        import dev.finetune4j.lora.plan.*;
        import dev.finetune4j.lora.report.*;
        import dev.finetune4j.lora.train.*;
        import dev.finetune4j.quant.*;
        import java.nio.file.*;
        import java.time.Duration;
        import java.util.*;
        import java.util.stream.*;
        """;

    private Snippets() {}

    /** A file of the repository, by its path there; tests run in the module or beside it. */
    public static Path page(String path) {
        Path file = Path.of("..", path);
        return Files.exists(file) ? file : Path.of(path);
    }

    /** The blocks of a page, by its path in the repository. */
    public static List<String> blocks(String page) throws IOException {
        Matcher matcher = JAVA_BLOCK.matcher(Files.readString(page(page)));
        List<String> blocks = new ArrayList<>();
        while (matcher.find()) {
            blocks.add(matcher.group(1));
        }
        return blocks;
    }

    /** The blocks without the words beside the code, which a page in another language has otherwise. */
    public static List<String> codeOnly(String page) throws IOException {
        return blocks(page).stream()
                .map(block -> block.replaceAll("(?m)\\s*//.*$", ""))
                .toList();
    }

    /**
     * Compiles and runs code.
     *
     * @param folder for the class
     * @param code statements, with the arguments in {@code args}
     * @return the lines that it prints
     */
    public static List<String> run(Path folder, String code, String... arguments) throws Exception {
        Path source = folder.resolve("Snippet.java");
        Files.writeString(
                source,
                IMPORTS + "public class Snippet {\npublic static void main(String[] args) throws Exception {\n" + code
                        + "\n}\n}\n");
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
        assertEquals(0, status, "the code of the page does not compile");
        PrintStream console = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        try (URLClassLoader loader =
                new URLClassLoader(new URL[] {folder.toUri().toURL()}, Snippets.class.getClassLoader())) {
            System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
            loader.loadClass("Snippet").getMethod("main", String[].class).invoke(null, (Object) arguments);
        } finally {
            System.setOut(console);
        }
        return printed.toString(StandardCharsets.UTF_8).lines().toList();
    }
}
