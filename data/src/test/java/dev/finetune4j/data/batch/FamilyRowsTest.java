package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.testsupport.ChatFamily;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Rows for the chat models of each family have the ids of chat, and the label of each place before a learned token, its end too, is that. */
class FamilyRowsTest {
    @TempDir
    private Path folder;

    @TestFactory
    Stream<DynamicTest> rowsAreChatsWithTheirEnds() {
        return ChatFamily.all().stream()
                .map(family -> DynamicTest.dynamicTest(family.name(), () -> {
                    try (Tokenizer tokenizer = Tokenizer.load(family.write(folder.resolve(family.name())))) {
                        ChatEncoder encoder = new ChatEncoder(
                                tokenizer, ChatTemplate.ofCheckpoint(tokenizer).orElseThrow(), family.ends());
                        for (JsonNode item : family.cases()) {
                            if (!item.path("add_generation_prompt").asBoolean() && !item.has("refused")) {
                                check(encoder, ChatFamily.conversation(item));
                            }
                        }
                    }
                }));
    }

    private static void check(ChatEncoder encoder, Conversation conversation) {
        EncodedChat chat = encoder.encode(conversation, false);
        EncodedSequence row = new SftEncoder(encoder, 4096)
                .encode(Dataset.of(List.of(SftExample.of(conversation))))
                .examples()
                .get(0)
                .sequences()
                .get(0);
        assertArrayEquals(chat.ids(), row.inputIds());
        int ends = 0;
        for (int i = 1; i < chat.ids().length; i++) {
            int expected = chat.trained()[i] ? chat.ids()[i] : Labels.IGNORE;
            assertEquals(
                    expected, row.labels()[i - 1], () -> encoder.tokenizer().decode(chat.ids()));
            ends += encoder.stopIds().contains(expected) ? 1 : 0;
        }
        assertEquals(Labels.IGNORE, row.labels()[chat.ids().length - 1]);
        assertTrue(ends > 0, () -> Arrays.toString(row.labels()));
    }
}
