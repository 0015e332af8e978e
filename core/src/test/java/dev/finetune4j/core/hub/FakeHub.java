package dev.finetune4j.core.hub;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import dev.finetune4j.core.cache.Sha256;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Predicate;

/**
 * A hub on the loopback interface that answers as Hugging Face's and ModelScope's do, with its large files on a second origin, and misbehaves
 * as a test tells it to.
 */
final class FakeHub implements AutoCloseable {
    static final String ID = "org/tiny";
    static final String TOKEN = "hf_SecretOfTheTest0123456789";

    /** What came to one of the two origins. */
    record Seen(boolean storage, String method, String path, Map<String, List<String>> headers) {
        String header(String name) {
            return String.join(",", headers.getOrDefault(name, List.of()));
        }
    }

    /** Answers in place of the hub. */
    @FunctionalInterface
    interface Fault {
        /** Answers, or returns false to leave that to the hub. */
        boolean answer(HttpExchange exchange, byte[] content) throws IOException;
    }

    private record Planned(Predicate<Seen> when, Deque<Fault> faults) {}

    final List<Seen> seen = new CopyOnWriteArrayList<>();
    final Map<String, byte[]> files = new ConcurrentHashMap<>();
    final List<String> extraNames = new CopyOnWriteArrayList<>();
    volatile String commit = "0123456789abcdef0123456789abcdef01234567";
    volatile boolean listsNamesAlone;
    volatile String tokenNeeded = "";
    private final List<Planned> planned = new CopyOnWriteArrayList<>();
    private final HttpServer hub;
    private final HttpServer storage;
    private final ExecutorService threads = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work, "fake-hub");
        thread.setDaemon(true);
        return thread;
    });

    FakeHub() throws IOException {
        hub = start(false);
        storage = start(true);
        files.putAll(model(7, 300_000));
    }

    private HttpServer start(boolean isStorage) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(threads);
        server.createContext("/", exchange -> {
            try {
                serve(exchange, isStorage);
            } catch (IOException e) {
                exchange.close(); // the client has gone, or a fault ends the connection
            } finally {
                exchange.close();
            }
        });
        server.start();
        return server;
    }

    /** The files of a model in two shards, with content that depends on the seed. */
    static Map<String, byte[]> model(int seed, int shardBytes) {
        Map<String, byte[]> files = new TreeMap<>();
        files.put(
                "config.json",
                ("{\"model_type\": \"llama\", \"seed\": " + seed + "}").getBytes(StandardCharsets.UTF_8));
        files.put("tokenizer.json", ("{\"model\": {}, \"seed\": " + seed + "}").getBytes(StandardCharsets.UTF_8));
        files.put("tokenizer_config.json", "{}".getBytes(StandardCharsets.UTF_8));
        files.put("additional_chat_templates/tools.jinja", "{{ tools }}".getBytes(StandardCharsets.UTF_8));
        files.put("README.md", "not needed".getBytes(StandardCharsets.UTF_8));
        files.put("pytorch_model.bin", new byte[10_000]);
        StringBuilder index = new StringBuilder("{\"weight_map\": {");
        for (int i = 1; i <= 2; i++) {
            String name = "model-0000" + i + "-of-00002.safetensors";
            byte[] bytes = new byte[shardBytes + i];
            new Random(seed * 31L + i).nextBytes(bytes);
            files.put(name, bytes);
            index.append(i == 1 ? "" : ", ")
                    .append("\"weight.")
                    .append(i)
                    .append("\": \"")
                    .append(name)
                    .append('"');
        }
        files.put("model.safetensors.index.json", index.append("}}").toString().getBytes(StandardCharsets.UTF_8));
        return files;
    }

    URI address() {
        return URI.create("http://127.0.0.1:" + hub.getAddress().getPort());
    }

    private String storageAddress() {
        return "http://localhost:" + storage.getAddress().getPort();
    }

    /** Plans faults for the requests that match, one for each. */
    void fault(Predicate<Seen> when, Fault... faults) {
        planned.add(new Planned(when, new ArrayDeque<>(List.of(faults))));
    }

    static Predicate<Seen> content(String name) {
        return seen ->
                seen.storage() && seen.path().endsWith(name) && seen.method().equals("GET");
    }

    static Predicate<Seen> api() {
        return seen -> seen.path().startsWith("/api/");
    }

    static Fault status(int status, String... headers) {
        return (exchange, content) -> {
            for (int i = 0; i < headers.length; i += 2) {
                exchange.getResponseHeaders().set(headers[i], headers[i + 1]);
            }
            exchange.sendResponseHeaders(status, -1);
            return true;
        };
    }

    /** Sends so many bytes of the rest and ends the connection. */
    static Fault breakAfter(int bytes) {
        return (exchange, content) -> {
            int from = rangeStart(exchange);
            sendRange(exchange, content, from, bytes);
            throw new IOException("broken off");
        };
    }

    /** Sends the whole file whatever was asked for. */
    static Fault ignoreRange() {
        return (exchange, content) -> {
            exchange.sendResponseHeaders(200, content.length);
            exchange.getResponseBody().write(content);
            return true;
        };
    }

    static int rangeStart(HttpExchange exchange) {
        String range = exchange.getRequestHeaders().getFirst("Range");
        return range == null ? 0 : Integer.parseInt(range.replaceAll("bytes=(\\d+)-", "$1"));
    }

    private static void sendRange(HttpExchange exchange, byte[] content, int from, int bytes) throws IOException {
        if (from > 0) {
            exchange.getResponseHeaders()
                    .set("Content-Range", "bytes " + from + "-" + (content.length - 1) + "/" + content.length);
        }
        exchange.sendResponseHeaders(from > 0 ? 206 : 200, content.length - from);
        OutputStream out = exchange.getResponseBody();
        out.write(content, from, Math.min(bytes, content.length - from));
        out.flush();
    }

    private void serve(HttpExchange exchange, boolean isStorage) throws IOException {
        Seen request = new Seen(
                isStorage,
                exchange.getRequestMethod(),
                exchange.getRequestURI().getPath(),
                Map.copyOf(exchange.getRequestHeaders()));
        seen.add(request);
        byte[] content = files.getOrDefault(file(exchange), new byte[0]);
        for (Planned plan : planned) {
            Fault fault = plan.when().test(request) ? next(plan.faults()) : null;
            if (fault != null && fault.answer(exchange, content)) {
                return;
            }
        }
        String path = request.path();
        if (isStorage) {
            content(exchange, content);
        } else if (!tokenNeeded.isEmpty() && !request.header("Authorization").equals("Bearer " + tokenNeeded)) {
            status(401, "X-Error-Code", "GatedRepo").answer(exchange, content);
        } else if (path.equals("/api/models/" + ID + "/revision/main") || path.endsWith("/revision/" + commit)) {
            json(exchange, huggingFaceListing());
        } else if (path.equals("/api/v1/models/" + ID + "/repo/files")) {
            json(exchange, modelScopeListing());
        } else if (path.startsWith("/" + ID + "/resolve/") || path.equals("/api/v1/models/" + ID + "/repo")) {
            resolve(exchange, file(exchange));
        } else {
            status(404, "X-Error-Code", path.contains("/revision/") ? "RevisionNotFound" : "RepoNotFound")
                    .answer(exchange, content);
        }
    }

    private static Fault next(Deque<Fault> faults) {
        synchronized (faults) {
            return faults.poll();
        }
    }

    private static String file(HttpExchange exchange) {
        String query = exchange.getRequestURI().getRawQuery();
        int at = query == null ? -1 : query.indexOf("FilePath=");
        if (at >= 0) {
            return URLDecoder.decode(query.substring(at + 9), StandardCharsets.UTF_8);
        }
        String[] parts = exchange.getRequestURI().getPath().split("/", 6);
        return parts.length == 6 ? parts[5] : "";
    }

    /** Large files are elsewhere, as with Git LFS. */
    private void resolve(HttpExchange exchange, String name) throws IOException {
        byte[] bytes = files.get(name);
        if (bytes == null) {
            status(404, "X-Error-Code", "EntryNotFound").answer(exchange, new byte[0]);
            return;
        }
        exchange.getResponseHeaders().set("X-Repo-Commit", commit);
        exchange.getResponseHeaders().set("ETag", "\"" + gitHash(bytes) + "\"");
        if (!name.endsWith(".safetensors")) {
            content(exchange, bytes);
            return;
        }
        exchange.getResponseHeaders().set("X-Linked-Etag", "\"" + Sha256.hex(bytes) + "\"");
        exchange.getResponseHeaders().set("X-Linked-Size", "" + bytes.length);
        exchange.getResponseHeaders()
                .set("Location", storageAddress() + "/a/b/c/d/" + name + "?X-Signature=secret-of-storage");
        exchange.sendResponseHeaders(302, -1);
    }

    private static void content(HttpExchange exchange, byte[] bytes) throws IOException {
        int from = rangeStart(exchange);
        if (exchange.getRequestMethod().equals("HEAD")) {
            exchange.getResponseHeaders().set("Content-Length", "" + bytes.length);
            exchange.sendResponseHeaders(200, -1);
        } else if (from >= bytes.length && from > 0) {
            exchange.sendResponseHeaders(416, -1);
        } else {
            sendRange(exchange, bytes, from, bytes.length);
        }
    }

    private static void json(HttpExchange exchange, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, bytes.length);
        exchange.getResponseBody().write(bytes);
    }

    private String huggingFaceListing() {
        List<String> entries = new ArrayList<>();
        files.forEach((name, bytes) -> {
            String more = name.endsWith(".safetensors")
                    ? ", \"lfs\": {\"sha256\": \"" + Sha256.hex(bytes) + "\", \"size\": " + bytes.length + "}"
                    : "";
            String details = listsNamesAlone
                    ? ""
                    : ", \"size\": " + bytes.length + ", \"blobId\": \"" + gitHash(bytes) + "\"" + more;
            entries.add("{\"rfilename\": \"" + name + "\"" + details + "}");
        });
        extraNames.forEach(name -> entries.add("{\"rfilename\": \"" + name + "\", \"size\": 1}"));
        return "{\"sha\": \"" + commit + "\", \"siblings\": [" + String.join(", ", entries) + "]}";
    }

    private String modelScopeListing() {
        List<String> entries =
                new ArrayList<>(List.of("{\"Type\": \"tree\", \"Path\": \"additional_chat_templates\"}"));
        files.forEach((name, bytes) -> entries.add("{\"Type\": \"blob\", \"Path\": \"" + name + "\", \"Size\": "
                + bytes.length + ", \"Sha256\": \"" + Sha256.hex(bytes) + "\"}"));
        return "{\"Code\": 200, \"Success\": true, \"Data\": {\"Files\": [" + String.join(", ", entries) + "]}}";
    }

    static String gitHash(byte[] bytes) {
        MessageDigest digest = new Checksum(Checksum.Kind.GIT_BLOB, "").digest(bytes.length);
        return HexFormat.of().formatHex(digest.digest(bytes));
    }

    @Override
    public void close() {
        hub.stop(0);
        storage.stop(0);
        threads.shutdownNow();
    }
}
