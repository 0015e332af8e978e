package dev.finetune4j.examples;

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
import java.util.stream.Stream;

/** A hub on this machine that answers as Hugging Face's does and has the bundled model under every name. */
public final class LocalHub implements AutoCloseable {
    public static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";

    private final AtomicInteger requests = new AtomicInteger();
    private final HttpServer server;

    public LocalHub() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
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
    }

    public String address() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    /** How many requests came. */
    public int requests() {
        return requests.get();
    }

    /** The names of the model's files. */
    public static List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(Bundled.baseModel())) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
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

    @Override
    public void close() {
        server.stop(0);
    }
}
