package dev.finetune4j.examples.frameworks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Reply;
import dev.langchain4j.agent.tool.ToolSpecification;
import dev.langchain4j.data.message.AiMessage;
import dev.langchain4j.data.message.SystemMessage;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.exception.UnsupportedFeatureException;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.langchain4j.model.output.FinishReason;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.springframework.ai.chat.prompt.ChatOptions;
import org.springframework.ai.chat.prompt.Prompt;
import org.springframework.boot.context.annotation.ImportCandidates;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.core.env.MapPropertySource;

/** The library behind LangChain4j, Spring AI and Spring Boot. */
class FrameworksTest {
    private static final Path BASE = Path.of("../src/main/resources/dev/finetune4j/examples/base-model");
    private static final String QUESTION = "What is the capital of Japan?";

    /** Says what it was asked. */
    private static ChatModel echo(List<ChatRequest> asked) {
        return request -> {
            asked.add(request);
            return Reply.of("answer " + asked.size());
        };
    }

    @Test
    void langChain4jPassesOnConversationAndSettings() {
        List<ChatRequest> asked = new ArrayList<>();
        ChatResponse response = new LangChain4jChatModel(echo(asked))
                .chat(dev.langchain4j.model.chat.request.ChatRequest.builder()
                        .messages(
                                SystemMessage.from("be brief"),
                                UserMessage.from("a"),
                                AiMessage.from("b"),
                                UserMessage.from("c"))
                        .temperature(0.5)
                        .topP(0.9)
                        .maxOutputTokens(7)
                        .stopSequences(List.of("x"))
                        .build());
        assertEquals("answer 1", response.aiMessage().text());
        assertEquals(FinishReason.STOP, response.finishReason());
        ChatRequest request = asked.get(0);
        assertEquals(
                List.of("be brief", "a", "b", "c"),
                request.conversation().messages().stream()
                        .map(message -> message.content())
                        .toList());
        assertEquals(7, request.settings().maxNewTokens());
        assertEquals(0.5, request.settings().temperature());
        assertEquals(List.of("x"), request.settings().stop());
    }

    @Test
    void whatIsNotPassedOnIsRefused() {
        LangChain4jChatModel model = new LangChain4jChatModel(echo(new ArrayList<>()));
        assertThrows(
                UnsupportedFeatureException.class,
                () -> model.chat(dev.langchain4j.model.chat.request.ChatRequest.builder()
                        .messages(UserMessage.from("a"))
                        .toolSpecifications(
                                ToolSpecification.builder().name("weather").build())
                        .build()));
    }

    @Test
    void langChain4jStreams() throws Exception {
        try (LanguageModel base = LanguageModel.load(BASE)) {
            StringBuilder pieces = new StringBuilder();
            CompletableFuture<ChatResponse> done = new CompletableFuture<>();
            new LangChain4jStreamingChatModel(base).chat(QUESTION, new StreamingChatResponseHandler() {
                @Override
                public void onPartialResponse(String piece) {
                    pieces.append(piece);
                }

                @Override
                public void onCompleteResponse(ChatResponse response) {
                    done.complete(response);
                }

                @Override
                public void onError(Throwable error) {
                    done.completeExceptionally(error);
                }
            });
            ChatResponse response = done.get(60, TimeUnit.SECONDS);
            assertEquals(base.ask(QUESTION), response.aiMessage().text());
            assertEquals(response.aiMessage().text(), pieces.toString());
            assertTrue(response.tokenUsage().outputTokenCount() > 0);
        }
    }

    @Test
    void springAiAnswersAndStreams() {
        try (LanguageModel base = LanguageModel.load(BASE)) {
            SpringAiChatModel model = new SpringAiChatModel(base);
            ChatOptions options = ChatOptions.builder().maxTokens(4).build();
            var cut = model.call(new Prompt(QUESTION, options));
            assertEquals("LENGTH", cut.getResult().getMetadata().getFinishReason());
            assertEquals(4, cut.getMetadata().getUsage().getCompletionTokens());
            String streamed = String.join(
                    "",
                    model.stream(new Prompt(QUESTION))
                            .map(piece -> piece.getResult().getOutput().getText())
                            .collectList()
                            .block());
            assertEquals(base.ask(QUESTION), streamed);
        }
    }

    private static AnnotationConfigApplicationContext context(Map<String, Object> properties) {
        AnnotationConfigApplicationContext context = new AnnotationConfigApplicationContext();
        context.getEnvironment().getPropertySources().addFirst(new MapPropertySource("test", properties));
        context.register(Finetune4jAutoConfiguration.class);
        context.refresh();
        return context;
    }

    @Test
    void springBootMakesTheModelsThatAreNamed() {
        LanguageModel base;
        try (AnnotationConfigApplicationContext context = context(Map.of("finetune4j.model", BASE.toString()))) {
            base = context.getBean(LanguageModel.class);
            org.springframework.ai.chat.model.ChatModel model =
                    context.getBean(org.springframework.ai.chat.model.ChatModel.class);
            assertEquals(base.ask(QUESTION), model.call(QUESTION));
        }
        assertThrows(IllegalStateException.class, () -> base.ask(QUESTION), "it is closed with the application");
        try (AnnotationConfigApplicationContext context = context(Map.of())) {
            assertEquals(0, context.getBeanNamesForType(LanguageModel.class).length, "nothing was named");
        }
    }

    @Test
    void springBootFindsTheConfiguration() {
        List<String> named = new ArrayList<>();
        ImportCandidates.load(
                        org.springframework.boot.autoconfigure.AutoConfiguration.class,
                        FrameworksTest.class.getClassLoader())
                .forEach(named::add);
        assertTrue(named.contains(Finetune4jAutoConfiguration.class.getName()), named.toString());
    }
}
