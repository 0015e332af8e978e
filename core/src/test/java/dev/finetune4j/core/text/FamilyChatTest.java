package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.testsupport.ChatFamily;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The chat models of each family ask with the ids of transformers, are trained on what they are asked for, and end where it ends. */
class FamilyChatTest {
    private static final Clock CLOCK = Clock.fixed(Instant.parse("2025-03-07T14:05:09Z"), ZoneOffset.UTC);

    @TempDir
    private Path folder;

    @TestFactory
    Stream<DynamicTest> idsAreThoseOfTransformers() {
        return ChatFamily.all().stream()
                .map(family -> DynamicTest.dynamicTest(family.name(), () -> {
                    try (Tokenizer tokenizer = Tokenizer.load(family.write(folder.resolve(family.name())))) {
                        ChatEncoder encoder = encoder(family, tokenizer);
                        List<String> wrong = new ArrayList<>();
                        for (JsonNode item : family.cases()) {
                            try {
                                check(encoder, item);
                            } catch (AssertionError | RuntimeException e) {
                                wrong.add(item.path("messages") + " " + item.path("tools") + " "
                                        + item.path("variables") + "\n" + e);
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
        boolean prompt = item.path("add_generation_prompt").asBoolean();
        if (item.has("refused")) {
            String reason = assertThrows(
                            IllegalArgumentException.class, () -> encoder.encode(ChatFamily.conversation(item), prompt))
                    .getMessage();
            assertTrue(reason.contains(item.path("refused").asText()), reason);
            return;
        }
        int[] expected = TestData.ints(item.path("ids"));
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

    /** A base model without a template is asked by the named one as the family's chat models are. */
    @ParameterizedTest
    @CsvSource({
        "granite, granite3, true",
        "olmo2, olmo2, false",
        "glm4, glm4, false",
        "glm, glm4, false",
        "cohere, cohere, false",
        "phi4, phi4, false",
        "phi4_mini, phi4_mini, false",
        "internlm2, intern2, false",
        "qwen2_moe, chatml, true",
        "qwen3_moe, chatml, false"
    })
    void namedTemplatesAskAlike(String family, String name, boolean ownSystemText) {
        ChatFamily chosen = ChatFamily.all().stream()
                .filter(each -> each.name().equals(family))
                .findFirst()
                .orElseThrow();
        try (Tokenizer tokenizer = Tokenizer.load(chosen.write(folder.resolve(family)))) {
            ChatEncoder encoder = new ChatEncoder(tokenizer, ChatTemplate.named(name), chosen.ends());
            int compared = 0;
            for (JsonNode item : chosen.cases()) {
                Conversation conversation = ChatFamily.conversation(item);
                boolean texts = conversation.tools().isEmpty()
                        && conversation.templateVariables().isEmpty()
                        && conversation.messages().stream()
                                .allMatch(message -> message.fields().isEmpty());
                boolean said = conversation.system().isPresent() || !ownSystemText;
                if (texts && said && item.path("add_generation_prompt").asBoolean()) {
                    assertArrayEquals(
                            TestData.ints(item.path("ids")),
                            encoder.encode(conversation, true).ids());
                    compared++;
                }
            }
            assertTrue(compared >= 2, compared + " compared");
            assertTrue(encoder.stopIds().containsAll(chosen.ends()));
        }
    }

    /** The text of transformers as the golden renderings have it, and the ids that the tokenizer gives that text. */
    @TestFactory
    Stream<DynamicTest> publishedTemplatesGiveTheSameIds() {
        Path shared = Needs.shared("fixtures/chat-templates");
        return ChatFamily.all().stream()
                .filter(family -> !family.published().isEmpty())
                .map(family -> DynamicTest.dynamicTest(family.published(), () -> {
                    String template = Fixtures.text(shared.resolve(family.published() + ".jinja"));
                    Path written = family.write(folder.resolve(family.published()), template);
                    try (Tokenizer tokenizer = Tokenizer.load(written)) {
                        ChatTemplate own =
                                ChatTemplate.ofCheckpoint(tokenizer, CLOCK).orElseThrow();
                        ChatEncoder encoder = new ChatEncoder(tokenizer, own, family.ends());
                        int compared = 0;
                        for (JsonNode item : TestData.json(shared.resolve(family.published() + ".json"))) {
                            compared += published(encoder, item);
                        }
                        assertTrue(compared >= 5, compared + " compared");
                    }
                }));
    }

    /** How many were compared: 1, or 0 where transformers refuses, or gives no conversation, or leaves results of calls out. */
    private static int published(ChatEncoder encoder, JsonNode item) {
        Conversation conversation;
        try {
            conversation = ChatFamily.conversation(item);
        } catch (IllegalArgumentException e) {
            return 0;
        }
        // White space at the beginning of an answer does not become one token with what announces it, since no model
        // writes that;
        // nor does what a message spells become a special token. PublishedTemplatesTest compares their texts.
        boolean other = conversation.messages().stream()
                .anyMatch(message -> beginsWithBlank(message) || encoder.spellsControlToken(message.content()));
        boolean results = conversation.messages().stream().anyMatch(message -> message.role() == Role.TOOL);
        if (other
                || item.has("expected_error")
                || (results && encoder.tokenizer().idOf("<|observation|>").isPresent())) {
            return 0;
        }
        int[] expected = encoder.tokenizer().encode(item.path("expected").asText());
        int[] ids;
        try {
            ids = encoder.encode(
                            conversation, item.path("add_generation_prompt").asBoolean())
                    .ids();
        } catch (IllegalArgumentException e) {
            assertTrue(String.valueOf(e.getMessage()).contains("be told from the rest: "), e.getMessage());
            return 0;
        }
        if (!item.path("add_generation_prompt").asBoolean() && ids.length == expected.length + 1) {
            assertTrue(encoder.stopIds().contains(ids[expected.length]));
            ids = Arrays.copyOf(ids, expected.length);
        }
        assertEquals(encoder.tokenizer().decode(expected), encoder.tokenizer().decode(ids));
        assertArrayEquals(expected, ids, item.path("name").asText());
        return 1;
    }

    private static boolean beginsWithBlank(ChatMessage message) {
        String text = message.content();
        return message.role() == Role.ASSISTANT && !text.equals(text.stripLeading());
    }

    /** What is learned is what the prompt asks for, up to a token that ends generation. */
    @TestFactory
    Stream<DynamicTest> answersAreLearnedAsTheyAreAskedFor() {
        return ChatFamily.all().stream()
                .map(family -> DynamicTest.dynamicTest(family.name(), () -> {
                    try (Tokenizer tokenizer = Tokenizer.load(family.write(folder.resolve(family.name())))) {
                        ChatEncoder encoder = encoder(family, tokenizer);
                        assertTrue(encoder.stopIds().containsAll(family.ends()), "ends");
                        int rows = 0;
                        for (JsonNode item : family.cases()) {
                            // The controls of Granite stand in the prompt for an answer, but not before one that is
                            // there.
                            boolean same = !item.path("variables").has("controls");
                            if (same && !item.path("add_generation_prompt").asBoolean() && !item.has("refused")) {
                                learned(encoder, ChatFamily.conversation(item));
                                rows++;
                            }
                        }
                        assertTrue(rows >= 5, rows + " rows");
                    }
                }));
    }

    private static void learned(ChatEncoder encoder, Conversation conversation) {
        List<ChatMessage> messages = conversation.messages();
        int last = messages.size() - 1;
        EncodedChat whole = encoder.encode(conversation, false);
        Conversation asked = conversation.withMessages(messages.subList(0, last));
        int[] prompt = encoder.encode(asked, true).ids();
        String where = encoder.tokenizer().decode(whole.ids());
        assertArrayEquals(prompt, Arrays.copyOf(whole.ids(), prompt.length), where);
        assertTrue(whole.trained()[prompt.length] && !whole.trained()[prompt.length - 1], where);

        List<String> answers = new ArrayList<>();
        int from = -1;
        for (int i = 0; i <= whole.ids().length; i++) {
            boolean trained = i < whole.ids().length && whole.trained()[i];
            if (trained && from < 0) {
                from = i;
            } else if (!trained && from >= 0) {
                answers.add(answer(encoder, Arrays.copyOfRange(whole.ids(), from, i)));
                from = -1;
            }
        }
        List<String> said = messages.stream()
                .filter(message -> message.role() == Role.ASSISTANT)
                .map(ChatMessage::content)
                .map(String::strip)
                .toList();
        // A template may ask for what it leaves out once other messages follow, such as empty thoughts.
        boolean lastAlone = answers.size() == 1 && answers.get(0).contains(said.get(said.size() - 1));
        assertTrue(answers.size() == said.size() || lastAlone, () -> where + answers);
        for (int i = 0; i < answers.size(); i++) {
            String text = said.get(said.size() - answers.size() + i);
            assertTrue(answers.get(i).contains(text), () -> where + answers);
        }
    }

    /** The text of a learned answer up to the token that ends it, behind which there may be another such token alone. */
    private static String answer(ChatEncoder encoder, int[] ids) {
        int end = 0;
        while (end < ids.length && !encoder.stopIds().contains(ids[end])) {
            end++;
        }
        String text = encoder.tokenizer().decode(ids);
        assertTrue(end < ids.length, () -> "no end: " + text);
        String behind = encoder.tokenizer().decode(Arrays.copyOfRange(ids, end + 1, ids.length), true);
        assertTrue(behind.isBlank(), () -> "something is learned behind the end: " + text);
        return encoder.tokenizer().decode(Arrays.copyOf(ids, end));
    }
}
