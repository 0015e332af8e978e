package dev.finetune4j.examples.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * OpenAI's own clients against the server. The system property {@value #PROPERTY} names a folder in which they are installed, or shall be by npm and
 * pip; without it the tests are skipped.
 */
class OpenAiClientsTest {
    static final String PROPERTY = "finetune4j.clients";

    private static final String NPM = "openai@6.49.0";
    private static final String PIP = "openai";
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path temporary;

    private final FakeModel model = new FakeModel();
    private ModelServer server;

    @BeforeEach
    void start() {
        server = ModelServer.start(ServerSettings.builder("base")
                .address(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .apiKey("key-of-the-test")
                .build());
        server.serve(model);
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private static Path folder() throws IOException {
        String named = System.getProperty(PROPERTY);
        Needs.that(
                named != null,
                "-D" + PROPERTY + "=FOLDER names no folder in which OpenAI's clients are or can be installed");
        return Files.createDirectories(Path.of(named).toAbsolutePath());
    }

    @Test
    void theClientForJavaScriptIsContent() throws Exception {
        Path folder = folder();
        if (!Files.exists(folder.resolve("node_modules/openai/index.mjs"))) {
            Needs.that(
                    run(folder, "npm", "install", "--save-exact", "--ignore-scripts", NPM) == 0,
                    "npm cannot install " + NPM + " in " + folder);
        }
        ObjectNode told = ask(
                "node",
                resource("openai_client.mjs"),
                folder.toString(),
                server.address().toString());
        assertEquals("half", told.path("halfBefore").asText(), "what came before the failure was handed out");
        assertEquals(
                "tool_calls get_weather {\"city\": \"Paris\"}",
                told.path("toolsStream").asText());
        assertEquals(
                "NotFoundError 404 model_not_found model true",
                told.path("unknown").asText());
        assertEquals(
                "BadRequestError 400  max_tokens true",
                told.path("wrong").asText().replace("null", ""));
        assertEquals(
                "AuthenticationError 401 invalid_api_key  true",
                told.path("key").asText().replace("null", ""));
        assertEquals(
                "APIError  internal_error  false",
                told.path("midstream").asText().replace("null", "").replace("true", "false"));
        assertEquals(
                "InternalServerError 500 internal_error  true",
                told.path("whole").asText().replace("null", ""));
        assertEquals(
                "RateLimitError 429 rate_limit_exceeded  true",
                told.path("busy").asText().replace("null", ""));
        shared(told);
        for (int i = 0; i < 100 && model.cancelled.get() == 0; i++) {
            Thread.sleep(10);
        }
        assertEquals(1, model.cancelled.get(), "what nobody reads any more is cancelled");
        assertTrue(model.tokens.get() < 2000, "after " + model.tokens.get() + " tokens");
    }

    @Test
    void theClientForPythonIsContent() throws Exception {
        Path python = folder().resolve("python/bin/python");
        if (!Files.exists(python)) {
            Needs.that(
                    run(folder(), "python3", "-m", "venv", "python") == 0
                            && run(folder(), python.toString(), "-m", "pip", "install", "-q", PIP) == 0,
                    "pip cannot install " + PIP + " in " + folder());
        }
        ObjectNode told = ask(
                python.toString(),
                resource("openai_client.py"),
                server.address().toString());
        assertEquals(
                "NotFoundError 404 model_not_found model", told.path("unknown").asText());
        assertEquals("BadRequestError 400 None max_tokens", told.path("wrong").asText());
        assertEquals(
                "AuthenticationError 401 invalid_api_key None", told.path("key").asText());
        assertEquals("APIError None internal_error None", told.path("midstream").asText());
        assertEquals(
                "InternalServerError 500 internal_error None",
                told.path("whole").asText());
        assertEquals(
                "RateLimitError 429 rate_limit_exceeded None", told.path("busy").asText());
        shared(told);
    }

    /** What both have to tell. */
    private void shared(JsonNode told) {
        assertEquals("[\"base\",\"org/tuned\"]", told.path("models").toString());
        assertEquals("org/tuned", told.path("model").asText());
        assertEquals("hello stop 5", told.path("chat").asText());
        assertEquals("hello", told.path("stream").asText());
        assertEquals("hello 5", told.path("helper").asText());
        assertEquals(
                "tool_calls get_weather {\"city\": \"Paris\"}",
                told.path("tools").asText());
        assertEquals("It is 18 degrees in Paris", told.path("runTools").asText());
        assertEquals("busy", told.path("retried").asText(), "the client has sent it three times");
        assertEquals("once", told.path("completion").asText());
    }

    private static String resource(String name) {
        return TestData.resource("dev/finetune4j/examples/server/" + name).toString();
    }

    private ObjectNode ask(String... command) throws Exception {
        assertEquals(0, run(temporary, command), () -> log());
        String[] lines = Files.readString(temporary.resolve("out.txt")).strip().split("\n", -1);
        return (ObjectNode) JSON.readTree(lines[lines.length - 1]);
    }

    private String log() {
        try {
            return Files.readString(temporary.resolve("out.txt"));
        } catch (IOException e) {
            return "no output";
        }
    }

    private int run(Path folder, String... command) throws InterruptedException {
        try {
            Process process = new ProcessBuilder(List.of(command))
                    .directory(folder.toFile())
                    .redirectErrorStream(true)
                    .redirectOutput(temporary.resolve("out.txt").toFile())
                    .start();
            if (!process.waitFor(120, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                return -1;
            }
            return process.exitValue();
        } catch (IOException e) {
            return -1;
        }
    }
}
