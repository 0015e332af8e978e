package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The example of docs/models.md compiles and runs, against a hub on this machine that has the bundled model under every name. */
class ModelsPageTest {
    private static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";

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
        AtomicInteger requests = new AtomicInteger();
        HttpServer hub = hub(requests);
        try {
            List<String> printed = run(hub, classPath);
            assertEquals("我是通用助手，由开放实验室开发。", printed.get(printed.size() - 2), printed.toString());
            assertEquals("2", printed.get(printed.size() - 1), printed.toString());
            assertEquals("6 of 6 MB", printed.get(printed.size() - 3), printed.toString());
        } finally {
            hub.stop(0);
        }
        int files = names().size();
        assertEquals(1 + files, requests.get(), "one listing, and each file once; the training asked for nothing");
    }

    private List<String> run(HttpServer hub, String classPath) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx512m",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-cp",
                folder + System.getProperty("path.separator") + classPath,
                "Snippet",
                Bundled.identityDataset().toString());
        builder.environment()
                .put("HF_ENDPOINT", "http://127.0.0.1:" + hub.getAddress().getPort());
        builder.environment().put("HF_HOME", folder.resolve("hf").toString());
        builder.environment()
                .keySet()
                .removeAll(List.of("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"));
        Process process = builder.redirectError(ProcessBuilder.Redirect.INHERIT).start();
        String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), printed);
        return printed.lines().toList();
    }

    private static List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(Bundled.baseModel())) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    private HttpServer hub(AtomicInteger requests) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            requests.incrementAndGet();
            String path = exchange.getRequestURI().getPath();
            byte[] answer = path.startsWith("/api/models/")
                    ? listing().getBytes(StandardCharsets.UTF_8)
                    : Files.readAllBytes(Bundled.baseModel().resolve(path.substring(path.lastIndexOf('/') + 1)));
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
        return server;
    }

    private static String listing() throws IOException {
        List<String> entries = new ArrayList<>();
        for (String name : names()) {
            byte[] bytes = Files.readAllBytes(Bundled.baseModel().resolve(name));
            entries.add("{\"rfilename\": \"" + name + "\", \"size\": " + bytes.length + ", \"lfs\": {\"sha256\": \""
                    + sha256(bytes) + "\"}}");
        }
        return "{\"sha\": \"" + COMMIT + "\", \"siblings\": [" + String.join(", ", entries) + "]}";
    }

    private static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
