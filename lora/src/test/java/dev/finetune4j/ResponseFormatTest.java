package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ResponseFormat;
import dev.finetune4j.core.json.PlainValues;
import dev.finetune4j.core.text.ChatMessage;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Answers of random weights, which would never be JSON by themselves, kept to a format. */
@Timeout(120)
class ResponseFormatTest {
    private static final ResponseFormat PERSON = ResponseFormat.jsonSchema("""
            {"type": "object",
             "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"},
               "sex": {"enum": ["f", "m", null]}, "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}},
             "required": ["name", "age", "sex"]}
            """);

    @TempDir
    private Path folder;

    private static ChatRequest request(ResponseFormat format, long seed) {
        return ChatRequest.builder()
                .messages(ChatMessage.user("Who are you?"))
                .settings(s -> s.maxNewTokens(200).temperature(1).seed(seed))
                .responseFormat(format)
                .build();
    }

    @Test
    void answersKeepToTheirFormatAloneAndInABatch() {
        try (LanguageModel model = LanguageModel.loader(Fixtures.tinyChatModel(folder.resolve("model")))
                .device(Fixtures.device())
                .precision(Precision.FP32)
                .load()) {
            List<Completion> begun = new ArrayList<>();
            for (int seed = 0; seed < 12; seed++) {
                begun.add(model.submit(request(PERSON, seed), delta -> {}));
            }
            begun.add(model.submit(request(ResponseFormat.text(), 0), delta -> {}));
            int complete = 0;
            for (int seed = 0; seed < 12; seed++) {
                Reply reply = begun.get(seed).join();
                assertEquals(model.reply(request(PERSON, seed)), reply, "alone");
                if (reply.finishReason() == FinishReason.STOP) {
                    complete++;
                    JsonNode person = PlainValues.parse(reply.text());
                    assertTrue(person != null && person.path("age").isIntegralNumber(), reply.text());
                    assertTrue(person.path("name").isTextual() && person.has("sex"), reply.text());
                }
            }
            assertTrue(complete >= 10, complete + " of 12 answers were complete");
            ChatRequest greedy = ChatRequest.builder()
                    .messages(ChatMessage.user("Who are you?"))
                    .responseFormat(ResponseFormat.jsonSchema("{\"const\": {\"a\": [1, \"\u4f60\ud83d\ude00\"]}}"))
                    .build();
            assertEquals(
                    "{\"a\":[1,\"\u4f60\ud83d\ude00\"]}", model.reply(greedy).text());
            Reply any = model.reply(request(ResponseFormat.jsonObject(), 5));
            assertTrue(any.text().startsWith("{") || any.text().isBlank(), any.text());
        }
    }
}
