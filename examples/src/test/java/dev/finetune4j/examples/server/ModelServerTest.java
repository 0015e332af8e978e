package dev.finetune4j.examples.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.examples.Bundled;
import dev.finetune4j.examples.Snippets;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The bundled model behind the API. */
class ModelServerTest {
    private static final String QUESTION = "What is the capital of Japan?";

    @TempDir
    private static Path folder;

    private static ModelServer server;
    private static LanguageModel model;
    private static TestClient client;

    @BeforeAll
    static void start() throws Exception {
        Path tuned = Files.createDirectories(folder.resolve("adapters"));
        RandomAdapters.write(tuned.resolve("tuned"), Bundled.baseModel(), 0.3, 1);
        server = ModelServer.start(ServerSettings.builder("base")
                .adapters(tuned)
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

    @Test
    void adaptersComeAndGo() throws Exception {
        String plain = TestClient.json(200, client.post("/v1/chat/completions", chat("")))
                .path("choices")
                .toString();
        String byAdapter = chat("").replace("\"model\": \"base\"", "\"model\": \"a/b\"");
        assertEquals(404, client.post("/v1/chat/completions", byAdapter).statusCode());
        JsonNode there = TestClient.json(200, client.get("/v1/adapters"));
        assertEquals("tuned", there.path("data").path(0).path("lora_path").asText());
        String load = "{\"lora_name\": \"a/b\", \"lora_path\": \"tuned\"}";
        assertEquals(
                "Success: LoRA adapter 'a/b' added successfully.",
                client.post("/v1/load_lora_adapter", load).body());
        assertEquals(400, client.post("/v1/load_lora_adapter", load).statusCode(), "twice");
        assertEquals(
                "base",
                TestClient.json(200, client.get("/v1/models/a%2Fb"))
                        .path("parent")
                        .asText());
        JsonNode tuned = TestClient.json(200, client.post("/v1/chat/completions", byAdapter));
        assertNotEquals(plain, tuned.path("choices").toString());
        assertEquals(
                200,
                client.post("/v1/unload_lora_adapter", "{\"lora_name\": \"a/b\"}")
                        .statusCode());
        assertEquals(404, client.post("/v1/chat/completions", byAdapter).statusCode());
    }

    @Test
    void aTextIsContinuedAsItIs() throws Exception {
        Reply reply = model.reply(ChatRequest.builder()
                .text("The capital of Japan is")
                .settings(s -> s.maxNewTokens(4))
                .topLogprobs(1)
                .build());
        String body =
                "{\"model\": \"base\", \"prompt\": \"The capital of Japan is\", \"temperature\": 0, \"max_tokens\": 4";
        JsonNode whole = TestClient.json(200, client.post("/v1/completions", body + ", \"logprobs\": 1}"));
        JsonNode choice = whole.path("choices").path(0);
        assertEquals(reply.text(), choice.path("text").asText());
        assertEquals(
                reply.logprobs().get(0).logprob(),
                choice.path("logprobs").path("token_logprobs").path(0).asDouble());
        StringBuilder streamed = new StringBuilder();
        TestClient.events(client.post("/v1/completions", body + ", \"stream\": true}"))
                .forEach(event -> streamed.append(
                        event.path("choices").path(0).path("text").asText()));
        assertEquals(reply.text(), streamed.toString());

        List<TokenLogprob> scores = model.score("The capital of Japan is");
        JsonNode echo = TestClient.json(
                        200,
                        client.post("/v1/completions", body.replace("4", "0") + ", \"echo\": true, \"logprobs\": 1}"))
                .path("choices")
                .path(0);
        assertEquals("The capital of Japan is", echo.path("text").asText());
        JsonNode told = echo.path("logprobs").path("token_logprobs");
        assertEquals(
                scores.get(scores.size() - 1).logprob(),
                told.path(told.size() - 1).asDouble());
        assertTrue(told.path(0).isNull(), "nothing stands before the first");
        JsonNode batch = TestClient.json(
                200,
                client.post("/v1/completions", body.replace("\"The capital of Japan is\"", "[\"a\", \"b\"]") + "}"));
        assertEquals(2, batch.path("choices").size());
    }

    @Test
    void whatHappensIsCounted() throws Exception {
        TestClient.json(200, client.post("/v1/chat/completions", chat("")));
        String metrics = client.get("/metrics").body();
        for (String name : List.of(
                "vllm:num_requests_running{model_name=\"base\"} 0.0",
                "vllm:generation_tokens_total{model_name=\"base\"}",
                "vllm:request_success_total{model_name=\"base\",finished_reason=\"stop\"}",
                "vllm:time_to_first_token_seconds_bucket{model_name=\"base\",le=\"+Inf\"}",
                "# TYPE vllm:e2e_request_latency_seconds histogram",
                "http_requests_total{status=\"200\"}")) {
            assertTrue(metrics.contains(name), name + " is not in\n" + metrics);
        }
    }

    /** Each body of docs/serve.md is accepted. */
    @Test
    void theCommandsOfTheGuideRun() throws Exception {
        assertEquals(
                200,
                client.post("/v1/load_lora_adapter", "{\"lora_name\": \"tuned\", \"lora_path\": \"tuned\"}")
                        .statusCode());
        Matcher commands = Pattern.compile("curl localhost:8000(/\\S+)(?: .*-d '(.*)')?")
                .matcher(Files.readString(Snippets.page("docs/serve.md")));
        int count = 0;
        for (; commands.find(); count++) {
            String body = commands.group(2) == null ? "" : commands.group(2).replace("\"adapter\"", "\"tuned\"");
            int status = (body.isEmpty() ? client.get(commands.group(1)) : client.post(commands.group(1), body))
                    .statusCode();
            assertEquals(200, status, commands.group());
        }
        assertEquals(6, count);
        client.post("/v1/unload_lora_adapter", "{\"lora_name\": \"tuned\"}");
    }
}
