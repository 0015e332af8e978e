package dev.finetune4j.examples.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.examples.Bundled;
import dev.finetune4j.examples.server.http.HttpLimits;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Requests that are wrong get a 4xx, in JSON, or a closed connection, and change nothing. */
class BadRequestsTest {
    private static final Logger LOG = LoggerFactory.getLogger(BadRequestsTest.class);
    private static final int COUNT = Boolean.getBoolean("finetune4j.long") ? 400 : 60;
    private static final int BODY_LIMIT = 1 << 20;
    private static final String GOOD =
            "{\"model\": \"base\", \"temperature\": 0, \"messages\": [{\"role\": \"user\", \"content\": \"What is the capital of Japan?\"}]}";

    @TempDir
    private Path folder;

    private ModelServer start() {
        HttpLimits limits = HttpLimits.defaults()
                .withMaxBodyBytes(BODY_LIMIT)
                .withReadTimes(Duration.ofMillis(400), Duration.ofMillis(400));
        ModelServer server = ModelServer.start(ServerSettings.builder("base")
                .address(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .adapters(folder.resolve("adapters"))
                .runs(folder)
                .limits(limits)
                .build());
        server.load(() -> LanguageModel.load(Bundled.baseModel()));
        return server;
    }

    @Test
    void wrongRequestsAreRefusedAndChangeNothing() throws Exception {
        Files.createDirectories(folder.resolve("adapters"));
        RandomAdapters.write(folder.resolve("outside"), Bundled.baseModel(), 0.1, 1);
        Files.createSymbolicLink(folder.resolve("adapters/link"), folder.resolve("outside"));
        long seed = Long.getLong("finetune4j.seed", 20261130);
        BadRequests requests = new BadRequests(seed, BODY_LIMIT);
        Map<String, Integer> statuses = new TreeMap<>();
        try (ModelServer server = start()) {
            TestClient client = new TestClient(server.address());
            JsonNode before = answer(client);
            JsonNode models = TestClient.json(200, client.get("/v1/models"));
            for (int i = 0; i < COUNT; i++) {
                BadRequests.Bad bad = requests.next();
                String status = send(server, bad, "seed " + seed + ", request " + i + ", " + bad.what());
                statuses.merge(status, 1, Integer::sum);
            }
            LOG.info("{} wrong requests: {}", COUNT, statuses);
            assertEquals(before, answer(client));
            assertEquals(models, TestClient.json(200, client.get("/v1/models")));
            for (int i = 0; i < 250 && server.connections() > 1; i++) {
                Thread.sleep(20);
            }
            assertTrue(server.connections() <= 1, "connections are left: " + server.connections());
        }
        assertTrue(noneIsLeft(), "a thread of the server is left");
    }

    private static JsonNode answer(TestClient client) throws Exception {
        return TestClient.json(200, client.post("/v1/chat/completions", GOOD)).path("choices");
    }

    private static boolean noneIsLeft() throws InterruptedException {
        for (int i = 0; i < 250; i++) {
            boolean left = Thread.getAllStackTraces().keySet().stream()
                    .anyMatch(thread -> thread.getName().startsWith("finetune4j-http"));
            if (!left) {
                return true;
            }
            Thread.sleep(20);
        }
        return false;
    }

    /** The status, or "closed". */
    private static String send(ModelServer server, BadRequests.Bad bad, String what) throws Exception {
        try (Socket socket =
                new Socket(InetAddress.getLoopbackAddress(), server.address().getPort())) {
            socket.setSoTimeout(5_000);
            try {
                for (byte[] part : bad.parts()) {
                    socket.getOutputStream().write(part);
                    socket.getOutputStream().flush();
                    Thread.sleep(bad.pause());
                }
            } catch (IOException e) {
                // The server may answer and close before all is sent.
            }
            String response = response(socket, what);
            if (response.isEmpty()) {
                return "closed";
            }
            assertTrue(response.startsWith("HTTP/1.1 4"), what + " got " + Texts.shortened(response));
            String body = response.substring(response.indexOf("\r\n\r\n") + 4);
            JsonNode error = TestClient.JSON.readTree(body).path("error");
            assertTrue(error.path("message").isTextual() && error.path("type").isTextual(), what + " got " + body);
            return response.substring(9, 12);
        }
    }

    private static String response(Socket socket, String what) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        try {
            byte[] buffer = new byte[4096];
            int count = socket.getInputStream().read(buffer);
            while (count > 0) {
                all.write(buffer, 0, count);
                String text = all.toString(StandardCharsets.UTF_8);
                int head = text.indexOf("\r\n\r\n");
                if (head >= 0) {
                    int length = Integer.parseInt(text.replaceAll("(?s).*?Content-Length: ([0-9]+).*", "$1"));
                    if (text.substring(head + 4).getBytes(StandardCharsets.UTF_8).length >= length) {
                        return text;
                    }
                }
                count = socket.getInputStream().read(buffer);
            }
        } catch (SocketTimeoutException e) {
            throw new AssertionError(what + " got no answer, and the connection is open", e);
        } catch (IOException e) {
            // A reset is a closed connection.
        }
        return all.toString(StandardCharsets.UTF_8);
    }
}
