package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.testsupport.ChatFamily;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** The chat models of each family ask with the ids of transformers, are trained on what they are asked for, and end where it ends. */
class FamilyChatTest {
    @TempDir
    private Path folder;

    @TestFactory
    Stream<DynamicTest> idsAreThoseOfTransformers() {
        return ChatFamily.all().stream().map(family -> DynamicTest.dynamicTest(family.name(), () -> {
            try (Tokenizer tokenizer = Tokenizer.load(family.write(folder.resolve(family.name())))) {
                ChatEncoder encoder = encoder(family, tokenizer);
                List<String> wrong = new ArrayList<>();
                for (JsonNode item : family.cases()) {
                    try {
                        check(encoder, item);
                    } catch (AssertionError | RuntimeException e) {
                        wrong.add(item.path("messages") + " " + item.path("tools") + " " + item.path("variables") + "\n"
                                + e);
                    }
                }
                assertTrue(family.cases().size() >= 11, "cases");
                assertTrue(wrong.isEmpty(), () -> String.join("\n", wrong));
            }
        }));
    }

    private static ChatEncoder encoder(ChatFamily family, Tokenizer tokenizer) {
        return new ChatEncoder(tokenizer, ChatTemplate.ofCheckpoint(tokenizer).orElseThrow(), family.ends());
    }

    private static void check(ChatEncoder encoder, JsonNode item) {
        int[] expected = TestData.ints(item.path("ids"));
        boolean prompt = item.path("add_generation_prompt").asBoolean();
        EncodedChat chat = encoder.encode(ChatFamily.conversation(item), prompt);
        int[] ids = chat.ids();
        if (!prompt && ids.length == expected.length + 1) {
            // The end of the last answer, which this template leaves to the next turn.
            assertTrue(encoder.stopIds().contains(ids[expected.length]) && chat.trained()[expected.length]);
            ids = Arrays.copyOf(ids, expected.length);
        }
        assertEquals(encoder.tokenizer().decode(expected), encoder.tokenizer().decode(ids));
        assertArrayEquals(expected, ids);
    }
}
