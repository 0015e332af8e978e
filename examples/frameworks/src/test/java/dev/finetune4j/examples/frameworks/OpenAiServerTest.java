package dev.finetune4j.examples.frameworks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.LanguageModel;
import dev.finetune4j.examples.server.ModelServer;
import dev.finetune4j.examples.server.ServerSettings;
import dev.langchain4j.data.message.SystemMessage;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.exception.AuthenticationException;
import dev.langchain4j.exception.ModelNotFoundException;
import dev.langchain4j.model.chat.request.ResponseFormat;
import dev.langchain4j.model.chat.request.ResponseFormatType;
import dev.langchain4j.model.chat.request.json.JsonObjectSchema;
import dev.langchain4j.model.chat.request.json.JsonSchema;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.langchain4j.model.openai.OpenAiChatModel;
import dev.langchain4j.model.openai.OpenAiStreamingChatModel;
import dev.langchain4j.model.output.FinishReason;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** LangChain4j's module for OpenAI against the server of the examples. */
class OpenAiServerTest {
    private static final Path BASE = Path.of("../src/main/resources/dev/finetune4j/examples/base-model");
    private static final String KEY = "key-of-the-test";
    private static final String QUESTION = "What is the capital of Japan?";

    private static ModelServer server;

    @BeforeAll
    static void start() {
        server = ModelServer.start(ServerSettings.builder("base")
                .address(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .apiKey(KEY)
                .build());
        server.load(() -> LanguageModel.load(BASE));
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    private static OpenAiChatModel model(String key, String name) {
        return OpenAiChatModel.builder()
                .baseUrl(server.address() + "/v1")
                .apiKey(key)
                .modelName(name)
                .temperature(0.0)
                .maxTokens(40)
                .maxRetries(0)
                .build();
    }

    @Test
    void itChats() {
        ChatResponse response = model(KEY, "base")
                .chat(dev.langchain4j.model.chat.request.ChatRequest.builder()
                        .messages(SystemMessage.from("You are a helpful assistant."), UserMessage.from(QUESTION))
                        .build());
        assertTrue(
                response.aiMessage().text().contains("Tokyo"),
                response.aiMessage().text());
        assertEquals(FinishReason.STOP, response.finishReason());
        assertTrue(response.tokenUsage().inputTokenCount() > 10);
        assertEquals("The capital of Japan is Tokyo.", model(KEY, "base").chat(QUESTION));
    }

    @Test
    void itStreams() throws Exception {
        List<String> pieces = new ArrayList<>();
        CompletableFuture<ChatResponse> end = new CompletableFuture<>();
        OpenAiStreamingChatModel.builder()
                .baseUrl(server.address() + "/v1")
                .apiKey(KEY)
                .modelName("base")
                .temperature(0.0)
                .build()
                .chat(QUESTION, new StreamingChatResponseHandler() {
                    @Override
                    public void onPartialResponse(String piece) {
                        pieces.add(piece);
                    }

                    @Override
                    public void onCompleteResponse(ChatResponse response) {
                        end.complete(response);
                    }

                    @Override
                    public void onError(Throwable error) {
                        end.completeExceptionally(error);
                    }
                });
        ChatResponse response = end.get(30, TimeUnit.SECONDS);
        assertEquals("The capital of Japan is Tokyo.", response.aiMessage().text());
        assertEquals("The capital of Japan is Tokyo.", String.join("", pieces));
        assertTrue(pieces.size() > 3, pieces.toString());
        assertEquals(7, response.tokenUsage().outputTokenCount());
    }

    @Test
    void itAsksForJson() {
        ChatResponse response = model(KEY, "base")
                .chat(dev.langchain4j.model.chat.request.ChatRequest.builder()
                        .messages(UserMessage.from(QUESTION))
                        .responseFormat(ResponseFormat.builder()
                                .type(ResponseFormatType.JSON)
                                .jsonSchema(JsonSchema.builder()
                                        .name("answer")
                                        .rootElement(JsonObjectSchema.builder()
                                                .addBooleanProperty("sure")
                                                .required("sure")
                                                .build())
                                        .build())
                                .build())
                        .build());
        assertTrue(
                response.aiMessage().text().matches("(?s)\\{\\s*\"sure\"\\s*:\\s*(true|false)\\s*}"),
                response.aiMessage().text());
    }

    @Test
    void errorsAreItsOwn() {
        assertThrows(ModelNotFoundException.class, () -> model(KEY, "other").chat(QUESTION));
        assertThrows(
                AuthenticationException.class, () -> model("wrong-key", "base").chat(QUESTION));
    }
}
