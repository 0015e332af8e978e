package dev.finetune4j.examples.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.examples.Bundled;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The bundled model behind the API. */
class ModelServerTest {
    private static final String QUESTION = "What is the capital of Japan?";

    private static ModelServer server;
    private static LanguageModel model;
    private static TestClient client;

    @BeforeAll
    static void start() throws Exception {
        server = ModelServer.start(ServerSettings.builder("base")
                .address(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .build());
        client = new TestClient(server.address());
        JsonNode loading = TestClient.json(503, client.get("/health"));
        assertEquals("unavailable_error", loading.path("error").path("type").asText());
        model = LanguageModel.load(Bundled.baseModel());
        server.load(() -> model);
        assertEquals(
                "ok", TestClient.json(200, client.get("/health")).path("status").asText());
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    private static String chat(String more) {
        return "{\"model\": \"base\", \"temperature\": 0, \"messages\": [{\"role\": \"user\", \"content\": \""
                + QUESTION + "\"}]" + more + "}";
    }

    @Test
    void modelsAreListed() throws Exception {
        JsonNode list = TestClient.json(200, client.get("/v1/models"));
        assertEquals("base", list.path("data").path(0).path("id").asText());
        assertEquals(
                "base",
                TestClient.json(200, client.get("/v1/models/base")).path("id").asText());
        JsonNode missing = TestClient.json(404, client.get("/v1/models/a%2Fb"));
        assertEquals("model_not_found", missing.path("error").path("code").asText());
    }

    @Test
    void theAnswerIsTheLibrarys() throws Exception {
        String expected = model.reply(ChatRequest.of(QUESTION)).text();
        JsonNode whole = TestClient.json(200, client.post("/v1/chat/completions", chat("")));
        JsonNode choice = whole.path("choices").path(0);
        assertEquals(expected, choice.path("message").path("content").asText());
        assertEquals("stop", choice.path("finish_reason").asText());
        assertEquals(22, whole.path("usage").path("total_tokens").asInt());

        List<JsonNode> events = TestClient.events(client.post(
                "/v1/chat/completions", chat(", \"stream\": true, \"stream_options\": {\"include_usage\": true}")));
        assertEquals(expected, TestClient.content(events, 0));
        assertEquals(
                "assistant",
                events.get(0).path("choices").path(0).path("delta").path("role").asText());
        assertEquals(whole.path("usage"), events.get(events.size() - 1).path("usage"));
        assertTrue(events.size() > 5, "in pieces");
    }

    @Test
    void severalChoicesAreDrawnApart() throws Exception {
        String several =
                chat(", \"n\": 3, \"seed\": 7, \"max_tokens\": 12").replace("\"temperature\": 0", "\"temperature\": 2");
        List<String> whole = new ArrayList<>();
        TestClient.json(200, client.post("/v1/chat/completions", several))
                .path("choices")
                .forEach(choice ->
                        whole.add(choice.path("message").path("content").asText()));
        List<JsonNode> events = TestClient.events(
                client.post("/v1/chat/completions", several.replace("\"n\"", "\"stream\": true, \"n\"")));
        assertTrue(whole.stream().distinct().count() > 1, whole.toString());
        for (int i = 0; i < 3; i++) {
            assertEquals(whole.get(i), TestClient.content(events, i));
        }
    }

    @Test
    void wrongFieldsAreNamed() throws Exception {
        for (String[] wrong : new String[][] {
            {", \"max_tokens\": \"5\"", "max_tokens"},
            {", \"max_tokens\": 5.5", "max_tokens"},
            {", \"max_tokens\": -1", "max_tokens"},
            {", \"temprature\": 1", "temprature"},
            {", \"n\": 0", "n"},
            {", \"stop\": [1]", "stop"},
            {", \"logit_bias\": {\"x\": 1}", "logit_bias"},
            {", \"top_logprobs\": 3", "top_logprobs"},
            {", \"response_format\": {\"type\": \"xml\"}", "response_format.type"},
            {", \"tool_choice\": \"required\"", "tool_choice"}
        }) {
            JsonNode error = TestClient.json(400, client.post("/v1/chat/completions", chat(wrong[0])))
                    .path("error");
            assertEquals(wrong[1], error.path("param").asText(), error.toString());
            assertEquals("invalid_request_error", error.path("type").asText());
        }
    }
}
