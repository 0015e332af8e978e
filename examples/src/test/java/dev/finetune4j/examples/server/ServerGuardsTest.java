package dev.finetune4j.examples.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.examples.server.http.HttpLimits;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What keeps a server from others and from itself: key, queue, time, clients that leave, a stop. */
class ServerGuardsTest {
    private static final String KEY = "key-of-the-test";

    @TempDir
    private Path folder;

    private final FakeModel model = new FakeModel();
    private ModelServer server;

    private TestClient start(ServerSettings.Builder settings, String... headers) {
        server = ModelServer.start(settings.address(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .build());
        server.serve(model);
        return new TestClient(server.address(), headers);
    }

    @AfterEach
    void stop() {
        if (server != null) {
            server.close();
        }
    }

    private static String ask(String content, String more) {
        return "{\"model\": \"base\", \"messages\": [{\"role\": \"user\", \"content\": \"" + content + "\"}]" + more
                + "}";
    }

    @Test
    void withoutTheKeyNothingIsTold() throws Exception {
        TestClient with = start(ServerSettings.builder("base").apiKey(KEY), "Authorization", "Bearer " + KEY);
        TestClient without = new TestClient(server.address(), "Authorization", "Bearer " + KEY + "x");
        assertEquals(200, with.get("/v1/models").statusCode());
        for (String path : List.of("/v1/models", "/v1/models/base", "/v1/training/runs", "/v1/adapters")) {
            assertEquals(401, without.get(path).statusCode(), path);
        }
        for (String path : List.of("/v1/chat/completions", "/v1/completions", "/v1/load_lora_adapter")) {
            JsonNode error = TestClient.json(401, without.post(path, "no JSON")).path("error");
            assertEquals("invalid_api_key", error.path("code").asText());
            assertFalse(error.toString().contains(KEY));
        }
        assertEquals(200, without.get("/health").statusCode());
        assertThrows(
                SettingsException.class,
                () -> ServerSettings.builder("base")
                        .address(new InetSocketAddress("0.0.0.0", 0))
                        .build(),
                "nobody else is listened to without a key");
    }

    @Test
    void whatHasNoRoomIsToComeAgain() throws Exception {
        TestClient client = start(ServerSettings.builder("base").maxRequests(2).maxChoices(4));
        HttpResponse<String> full = client.post("/v1/chat/completions", ask("hello", ", \"n\": 3"));
        assertEquals(
                "rate_limit_exceeded",
                TestClient.json(429, full).path("error").path("code").asText());
        assertEquals("1", full.headers().firstValue("Retry-After").orElse(""));
        TestClient.json(200, client.post("/v1/chat/completions", ask("hello", ", \"n\": 2")));
        assertEquals(0, model.cancelled.get());
    }

    @Test
    void anAnswerThatTakesTooLongEnds() throws Exception {
        TestClient client = start(ServerSettings.builder("base").requestTime(Duration.ofMillis(150)));
        HttpResponse<String> late = client.post("/v1/chat/completions", ask("endless", ""));
        assertEquals(
                "timeout", TestClient.json(504, late).path("error").path("code").asText());
        assertEquals("false", late.headers().firstValue("x-should-retry").orElse(""));
        String streamed = client.post("/v1/chat/completions", ask("endless", ", \"stream\": true"))
                .body();
        assertTrue(streamed.contains("data: {\"error\":{"), "as an event, because 200 was said already");
        assertFalse(streamed.contains("[DONE]"));
        awaitCancelled(2);
    }

    @Test
    void pagesOfOtherSitesAskOnlyWhereTheyAreNamed() throws Exception {
        String site = "https://chat.example.org";
        start(ServerSettings.builder("base").origins(Set.of(site)));
        String head = " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: ";
        assertTrue(raw("GET /v1/models" + head + site + "\r\n\r\n").contains("Access-Control-Allow-Origin: " + site));
        String preflight =
                raw("OPTIONS /v1/chat/completions" + head + site + "\r\nAccess-Control-Request-Method: POST\r\n\r\n");
        assertTrue(
                preflight.startsWith("HTTP/1.1 200") && preflight.contains("Access-Control-Allow-Headers"), preflight);
        String own = "http://localhost:" + server.address().getPort();
        String ownHost = head.replace("localhost", own.substring(7));
        assertTrue(raw("GET /v1/models" + ownHost + own + "\r\n\r\n").startsWith("HTTP/1.1 200"), "its own page");
        String other = raw("GET /v1/models" + head + "https://evil.example\r\n\r\n");
        assertTrue(other.startsWith("HTTP/1.1 403") && !other.contains("Access-Control"), other);
        assertTrue(
                raw("GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
                        .startsWith("HTTP/1.1 403"),
                "a name of another site that leads here");
    }

    /** What only waits makes room, so that slow clients keep nobody out. */
    @Test
    void connectionsThatWaitMakeRoom() throws Exception {
        start(ServerSettings.builder("base").limits(HttpLimits.defaults().withMaxConnections(4)));
        List<Socket> slow = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            Socket socket = new Socket(
                    InetAddress.getLoopbackAddress(), server.address().getPort());
            socket.getOutputStream().write("GET /v1/mod".getBytes(StandardCharsets.US_ASCII));
            slow.add(socket);
        }
        assertTrue(raw("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .startsWith("HTTP/1.1 200"));
        assertTrue(server.connections() <= 4, "open: " + server.connections());
        for (Socket socket : slow) {
            socket.close();
        }
    }

    private String raw(String request) throws IOException {
        try (Socket socket =
                new Socket(InetAddress.getLoopbackAddress(), server.address().getPort())) {
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private void awaitCancelled(int count) throws InterruptedException {
        for (int i = 0; i < 200 && model.cancelled.get() < count; i++) {
            Thread.sleep(10);
        }
        assertEquals(count, model.cancelled.get());
    }

    /** A token takes a millisecond here, and a client is looked for each 20 at least. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aClientThatLeavesIsNotAnsweredAnyMore(boolean stream) throws Exception {
        start(ServerSettings.builder("base"));
        byte[] body = ask("endless", ", \"stream\": " + stream).getBytes(StandardCharsets.UTF_8);
        int before;
        try (Socket socket =
                new Socket(InetAddress.getLoopbackAddress(), server.address().getPort())) {
            socket.getOutputStream()
                    .write(
                            ("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                            + "Content-Length: " + body.length + "\r\n\r\n")
                                    .getBytes(StandardCharsets.US_ASCII));
            socket.getOutputStream().write(body);
            while (model.tokens.get() < 20) {
                Thread.sleep(1);
            }
            before = model.tokens.get();
        }
        awaitCancelled(1);
        assertTrue(model.tokens.get() - before < 100, "tokens for nobody: " + (model.tokens.get() - before));
    }

    @Test
    void aStopLetsAnswersEnd() throws Exception {
        TestClient client = start(ServerSettings.builder("base").requestTime(Duration.ofMillis(400)));
        CompletableFuture<Integer> answer = CompletableFuture.supplyAsync(() -> {
            try {
                return client.post("/v1/chat/completions", ask("endless", "")).statusCode();
            } catch (IOException | InterruptedException e) {
                return -1;
            }
        });
        while (model.tokens.get() == 0) {
            Thread.sleep(1);
        }
        server.close();
        assertEquals(504, answer.get(5, TimeUnit.SECONDS), "the answer in progress came to its end");
        assertThrows(IOException.class, () -> client.get("/health"));
    }

    @Test
    void logsOfTrainingsAreReadAsTheyGrow() throws Exception {
        Path log = Files.createDirectories(folder.resolve("saves/run")).resolve("trainer_log.jsonl");
        Files.writeString(log, "{\"current_steps\": 1, \"loss\": 2.5}\n{\"current_steps\": 2, \"lo");
        TestClient client = start(ServerSettings.builder("base").runs(folder));
        assertEquals(
                "saves/run",
                TestClient.json(200, client.get("/v1/training/runs"))
                        .path("data")
                        .path(0)
                        .path("id")
                        .asText());
        JsonNode first = TestClient.json(200, client.get("/v1/training/log?run=saves%2Frun"));
        assertEquals("[{\"current_steps\":1,\"loss\":2.5}]", first.path("lines").toString(), "whole lines alone");
        Files.writeString(log, "{\"current_steps\": 1, \"loss\": 2.5}\n{\"current_steps\": 2, \"loss\": 2.25}\n");
        JsonNode second = TestClient.json(
                200,
                client.get("/v1/training/log?run=saves%2Frun&from="
                        + first.path("next").asInt()));
        assertEquals(
                "[{\"current_steps\":2,\"loss\":2.25}]", second.path("lines").toString());
        assertEquals(404, client.get("/v1/training/log?run=..%2Fsaves%2Frun").statusCode());
    }
}
