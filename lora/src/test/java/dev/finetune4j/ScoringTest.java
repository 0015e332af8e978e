package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Probabilities of given texts, in float32. */
class ScoringTest {
    @TempDir
    private Path folder;

    private LanguageModel load(Path model) {
        return LanguageModel.loader(model)
                .device(Fixtures.device())
                .precision(Precision.FP32)
                .load();
    }

    /** {@code scores.json} was written by transformers for the same folder: {@code log_softmax} of the logits of one pass. */
    @Test
    void scoresAreThoseOfTransformers() {
        JsonNode golden = TestData.json(TestData.resource("inference/scores.json"));
        try (LanguageModel model = load(Fixtures.tinyChatModel(folder.resolve("model")))) {
            for (JsonNode text : golden.path("texts")) {
                List<TokenLogprob> scores = model.score(text.path("text").asText());
                JsonNode expected = text.path("logprobs");
                assertEquals(expected.size(), scores.size());
                for (int i = 0; i < scores.size(); i++) {
                    assertEquals(
                            text.path("ids").get(i + 1).asInt(), scores.get(i).id());
                    assertEquals(expected.get(i).asDouble(), scores.get(i).logprob(), 1e-4);
                }
            }
            for (JsonNode chat : golden.path("answers")) {
                Conversation conversation = Conversation.of(
                        ChatMessage.user(chat.path("user").asText()),
                        ChatMessage.assistant(chat.path("assistant").asText()));
                List<TokenLogprob> scores = model.score(conversation);
                assertEquals(
                        chat.path("sum").asDouble(),
                        scores.stream().mapToDouble(TokenLogprob::logprob).sum(),
                        1e-4 * scores.size());
                assertEquals(chat.path("tokens").asInt(), scores.size());
            }
        }
    }

    /** The probabilities of a reply are those that its text is scored with. */
    @Test
    void repliesTellWhatScoringFinds() {
        try (LanguageModel model = load(Fixtures.tinyChatModel(folder.resolve("model")));
                Adapter adapter = new Adapter(model, DecoderCases.adapter(model.model(), 1, 0.2))) {
            ChatMessage question = ChatMessage.user("Hello");
            Reply reply = adapter.reply(ChatRequest.builder()
                    .messages(question)
                    .settings(s -> s.maxNewTokens(10).temperature(0.8).seed(1).logitBias(onlyLetters(model)))
                    .topLogprobs(0)
                    .build());
            List<TokenLogprob> scores = adapter.score(Conversation.of(question, ChatMessage.assistant(reply.text())));
            assertEquals(11, scores.size(), "the token that ends the answer is scored too");
            for (int i = 0; i < 10; i++) {
                assertEquals(reply.logprobs().get(i).id(), scores.get(i).id());
                assertEquals(reply.logprobs().get(i).logprob(), scores.get(i).logprob(), 1e-4);
            }
            assertEquals(reply.usage().promptTokens(), adapter.countTokens(Conversation.of(question)));
        }
    }

    /** Draws single letters, so that the text gives the same tokens again. */
    private static Map<Integer, Double> onlyLetters(LanguageModel model) {
        Map<Integer, Double> bias = new HashMap<>();
        for (String letter : List.of("x", "9", "q", "Z")) {
            bias.put(model.encoder().tokenizer().encode(letter)[0], 60.0);
        }
        return bias;
    }

    @Test
    void countsAndErrors() {
        try (LanguageModel model = load(Fixtures.tinyChatModel(folder.resolve("model")))) {
            assertEquals(model.score("Hello there").size() + 1, model.countTokens("Hello there"));
            Conversation open = Conversation.of(ChatMessage.user("Hi"));
            IllegalArgumentException none = assertThrows(IllegalArgumentException.class, () -> model.score(open));
            assertTrue(none.getMessage().contains("an answer is scored"), none.getMessage());
            assertThrows(FineTune4jException.class, () -> model.score("word ".repeat(5000)));
        }
    }

    @Test
    void publishedWeightsGiveTheirPublishedLosses() throws IOException {
        Path stories = Needs.shared("fixtures/stories260k");
        Path copy = Files.createDirectories(folder.resolve("stories"));
        for (String file : List.of("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")) {
            Files.copy(stories.resolve(file), copy.resolve(file));
        }
        JsonNode golden = TestData.json(stories.resolve("golden.json"));
        try (LanguageModel model = LanguageModel.loader(copy)
                .device(Fixtures.device())
                .precision(Precision.FP32)
                .chatTemplate("default")
                .load()) {
            int tokens = 0;
            for (JsonNode text : golden.path("losses")) {
                List<TokenLogprob> scores = model.score(text.path("text").asText());
                JsonNode expected = text.path("token_nll");
                assertEquals(expected.size(), scores.size());
                for (int i = 0; i < scores.size(); i++) {
                    assertEquals(expected.get(i).asDouble(), -scores.get(i).logprob(), 1e-4);
                    tokens++;
                }
            }
            assertTrue(tokens > 20, tokens + " tokens");
        }
    }
}
