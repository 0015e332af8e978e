package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.BatchSettings;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Requests without sessions whose conversations begin alike, in float32. */
@Timeout(120)
class PrefixCacheTest {
    private static final GenerationSettings SHORT =
            GenerationSettings.builder().maxNewTokens(8).build();
    private static final ChatMessage SYSTEM =
            ChatMessage.system("You know all about ships and their captains, from the first to the last.");

    @TempDir
    private Path folder;

    private LanguageModel model(long kept) {
        Path path = folder.resolve("model");
        if (!path.toFile().exists()) {
            Fixtures.tinyChatModel(path);
        }
        return LanguageModel.loader(path)
                .device(Fixtures.device())
                .precision(Precision.FP32)
                .batching(BatchSettings.builder().prefixCacheTokens(kept).build())
                .load();
    }

    private static ChatRequest request(Conversation conversation) {
        return ChatRequest.of(conversation, SHORT);
    }

    @Test
    void theNextTurnComputesOnlyWhatItAdds() {
        try (LanguageModel keeping = model(4096);
                LanguageModel plain = model(0)) {
            Conversation conversation = Conversation.of(SYSTEM, ChatMessage.user("Hello"));
            int before = 0;
            for (int turn = 0; turn < 3; turn++) {
                Reply reply = keeping.reply(request(conversation));
                Reply expected = plain.reply(request(conversation));
                assertEquals(expected.text(), reply.text(), "turn " + turn);
                assertEquals(0, expected.usage().cachedTokens());
                assertTrue(reply.usage().cachedTokens() >= before, reply.toString());
                before = reply.usage().promptTokens() - 1;
                conversation = conversation.with(reply.message()).with(ChatMessage.user("And " + turn + "?"));
            }
            Conversation other = Conversation.of(SYSTEM, ChatMessage.user("Something else"));
            Reply shared = keeping.reply(request(other));
            assertEquals(plain.reply(request(other)).text(), shared.text());
            assertTrue(shared.usage().cachedTokens() > 16, "the system message is known: " + shared);
        }
    }

    @Test
    void manyAtOnceShareABeginningAndAdaptersDoNot() {
        try (LanguageModel keeping = model(2048);
                LanguageModel plain = model(0);
                Adapter tuned = new Adapter(keeping, DecoderCases.adapter(keeping.model(), 1, 0.2));
                Adapter expectedTuned = new Adapter(plain, DecoderCases.adapter(plain.model(), 1, 0.2))) {
            keeping.reply(request(Conversation.of(SYSTEM, ChatMessage.user("First " + "ok ".repeat(20)))));
            List<ChatModel> models = List.of(keeping, tuned);
            List<ChatModel> expected = List.of(plain, expectedTuned);
            for (int round = 0; round < 3; round++) {
                List<Completion> begun = new ArrayList<>();
                for (int i = 0; i < 12; i++) {
                    begun.add(models.get(i % 2).submit(request(question(i)), delta -> {}));
                }
                for (int i = 0; i < 12; i++) {
                    Reply reply = begun.get(i).join();
                    assertEquals(expected.get(i % 2).reply(request(question(i))).text(), reply.text(), "question " + i);
                    if (i % 2 == 0) {
                        assertTrue(reply.usage().cachedTokens() > 16, "question " + i + ": " + reply);
                    }
                }
            }
        }
    }

    private static Conversation question(int i) {
        return Conversation.of(SYSTEM, ChatMessage.user("Number " + i + " ok".repeat(i)));
    }

    @Test
    void nothingIsKeptBeyondTheLimit() {
        try (LanguageModel keeping = model(64)) {
            Conversation conversation = Conversation.of(SYSTEM, ChatMessage.user("Hello " + "ok ".repeat(20)));
            keeping.reply(request(conversation));
            assertEquals(0, keeping.reply(request(conversation)).usage().cachedTokens());
        }
    }
}
