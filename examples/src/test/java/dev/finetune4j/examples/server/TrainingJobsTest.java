package dev.finetune4j.examples.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.examples.Bundled;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A training that is asked for over HTTP: it starts, can be watched and stopped, and its adapter answers. */
class TrainingJobsTest {
    private static final String ROWS = "[{\"instruction\": \"Who are you?\", \"output\": \"I am Kim.\"}]";

    @TempDir
    private Path folder;

    private ModelServer start(boolean switchedOn) throws Exception {
        Files.createDirectories(folder.resolve("data"));
        Files.writeString(folder.resolve("data/rows.json"), ROWS);
        Files.writeString(folder.resolve("outside.json"), ROWS);
        ModelServer server = ModelServer.start(ServerSettings.builder("base")
                .address(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .runs(Files.createDirectories(folder.resolve("runs")))
                .data(switchedOn ? folder.resolve("data") : null)
                .build());
        server.load(() -> LanguageModel.load(Bundled.baseModel()));
        return server;
    }

    private static JsonNode await(TestClient client, String name) throws Exception {
        JsonNode job = TestClient.json(200, client.get("/v1/training/jobs/" + name));
        for (int i = 0; i < 3000 && job.path("status").asText().equals("running"); i++) {
            Thread.sleep(10);
            job = TestClient.json(200, client.get("/v1/training/jobs/" + name));
        }
        return job;
    }

    @Test
    void theyRunOnlyWhereTheyAreSwitchedOn() throws Exception {
        try (ModelServer server = start(false)) {
            TestClient client = new TestClient(server.address());
            assertEquals(
                    404,
                    client.post("/v1/training/jobs", "{\"name\": \"a\", \"dataset\": \"rows.json\"}")
                            .statusCode());
            assertEquals(404, client.get("/v1/training/jobs").statusCode());
        }
    }

    @Test
    void whatIsTrainedAnswers() throws Exception {
        try (ModelServer server = start(true)) {
            TestClient client = new TestClient(server.address());
            for (String wrong : new String[] {
                "{\"name\": \"kim\", \"dataset\": \"../outside.json\"}",
                "{\"name\": \"../kim\", \"dataset\": \"rows.json\"}",
                "{\"name\": \"base\", \"dataset\": \"rows.json\"}",
                "{\"name\": \"kim\", \"dataset\": \"rows.json\", \"lora_rank\": 0}",
                "{\"name\": \"kim\", \"dataset\": \"rows.json\", \"stage\": \"dpo\"}"
            }) {
                assertEquals(400, client.post("/v1/training/jobs", wrong).statusCode(), wrong);
            }
            assertFalse(Files.exists(folder.resolve("runs/kim")));

            String body = "{\"name\": \"kim\", \"dataset\": \"rows.json\", \"max_steps\": 12, \"learning_rate\": 0.01}";
            TestClient.json(200, client.post("/v1/training/jobs", body));
            JsonNode done = await(client, "kim");
            assertEquals("succeeded", done.path("status").asText(), done.toString());
            assertEquals(12, done.path("step").asInt());
            JsonNode log = TestClient.json(200, client.get("/v1/training/log?run=kim"));
            assertEquals(12, log.path("lines").size());
            String ask =
                    "{\"model\": \"kim\", \"temperature\": 0, \"messages\": [{\"role\": \"user\", \"content\": \"Who are you?\"}]}";
            JsonNode answer = TestClient.json(200, client.post("/v1/chat/completions", ask));
            assertEquals(
                    "I am Kim.",
                    answer.path("choices")
                            .path(0)
                            .path("message")
                            .path("content")
                            .asText());
            assertTrue(Files.exists(folder.resolve("runs/kim/adapter/adapter_model.safetensors")));

            String endless = "{\"name\": \"long\", \"dataset\": \"rows.json\", \"max_steps\": 100000}";
            TestClient.json(200, client.post("/v1/training/jobs", endless));
            assertEquals(
                    409,
                    client.post("/v1/training/jobs", body.replace("kim", "other"))
                            .statusCode());
            TestClient.json(200, client.post("/v1/training/jobs/long/stop", ""));
            assertEquals("stopped", await(client, "long").path("status").asText());
            JsonNode runs =
                    TestClient.json(200, client.get("/v1/training/runs")).path("data");
            assertEquals(List.of("stopped", "succeeded"), runs.findValuesAsText("status"));
        }
    }
}
