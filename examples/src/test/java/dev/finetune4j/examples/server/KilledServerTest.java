package dev.finetune4j.examples.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.examples.Bundled;
import dev.finetune4j.examples.cli.Finetune4j;
import dev.finetune4j.testsupport.Needs;
import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The command {@code serve} in a process of its own, which is killed while it answers and started again at once; then it is asked to stop. */
class KilledServerTest {
    private static final String ASK =
            "{\"model\": \"base\", \"temperature\": 0, \"messages\": [{\"role\": \"user\", \"content\": \"What is the capital of Japan?\"}]}";

    @TempDir
    private Path folder;

    private Process start(int port) throws IOException {
        return new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin/java").toString(),
                        "-Xmx1g",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Finetune4j.class.getName(),
                        "serve",
                        Bundled.baseModel().toString(),
                        "--name",
                        "base",
                        "--port",
                        String.valueOf(port))
                .redirectErrorStream(true)
                .redirectOutput(new File(folder.toFile(), "log.txt"))
                .start();
    }

    private static void awaitReady(TestClient client) throws InterruptedException {
        for (int i = 0; i < 1200; i++) {
            try {
                if (client.get("/health").statusCode() == 200) {
                    return;
                }
            } catch (IOException e) {
                // It does not listen yet.
            }
            Thread.sleep(50);
        }
        throw new AssertionError("the server is not ready after a minute");
    }

    @Test
    void itStartsAgainAtOnce() throws Exception {
        Needs.that(Boolean.getBoolean("finetune4j.long"), "two processes that load a model take some seconds: -Plong");
        int port;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        TestClient client = new TestClient(URI.create("http://127.0.0.1:" + port));
        Process first = start(port);
        awaitReady(client);
        String body = ASK.replace("}]}", "}], \"stream\": true, \"max_tokens\": 400, \"min_tokens\": 400}");
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            socket.getOutputStream()
                    .write(
                            ("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                            + "Content-Length: " + body.length() + "\r\n\r\n" + body)
                                    .getBytes(StandardCharsets.US_ASCII));
            assertEquals('H', socket.getInputStream().read(), "it answers");
            first.destroyForcibly().waitFor();
            Process second = start(port);
            awaitReady(client);
            assertTrue(client.post("/v1/chat/completions", ASK).body().contains("Tokyo"));
            second.destroy();
            assertTrue(second.waitFor(20, TimeUnit.SECONDS), "SIGTERM ends it");
        }
    }
}
