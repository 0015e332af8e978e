package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Published templates as those of checkpoints: chats have the text of transformers, training exact marks or none. */
class PublishedTemplatesTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Clock CLOCK = Clock.fixed(Instant.parse("2025-03-07T14:05:09Z"), ZoneOffset.UTC);
    private static final Pattern SPECIAL =
            Pattern.compile("<[|\uff5c][^<>\\s'\"{}]+[|\uff5c]>|<(?:start|end)_of_turn>|\\[/?INST]");

    private static final Conversation ONE_ANSWER =
            Conversation.of(ChatMessage.user("first question"), ChatMessage.assistant("first answer"));
    private static final Conversation TWO_ANSWERS =
            ONE_ANSWER.with(ChatMessage.user("second question")).with(ChatMessage.assistant("second answer"));
    private static final Conversation THOUGHTS = Conversation.of(
            ChatMessage.user("first question"),
            ChatMessage.assistant("<think>\nfirst thought\n</think>\n\nfirst answer"),
            ChatMessage.user("second question"),
            ChatMessage.assistant("<think>\nsecond thought\n</think>\n\nsecond answer"));

    @TempDir
    private Path folder;

    private Path shared;

    @BeforeEach
    void requireShared() {
        Path found = TestData.shared("chat-templates").orElse(null);
        assumeTrue(found != null, TestData.ABSENT);
        shared = found;
    }

    @Test
    void chatsHaveTheTextOfTransformers() throws IOException {
        int compared = 0;
        Set<String> named = new TreeSet<>();
        for (JsonNode entry : TestData.json(shared.resolve("index.json"))) {
            String name = entry.path("name").asText();
            try (Tokenizer tokenizer = checkpoint(entry)) {
                ChatTemplate template =
                        ChatTemplate.ofCheckpoint(tokenizer, CLOCK).orElseThrow();
                if (template instanceof NamedTemplate) {
                    named.add(name + "=" + template.name());
                }
                ChatEncoder encoder = new ChatEncoder(tokenizer, template);
                for (JsonNode item : TestData.json(shared.resolve(name + ".json"))) {
                    Conversation conversation = conversation(item).orElse(null);
                    if (conversation != null && item.path("variables").size() <= 2) {
                        check(encoder, conversation, item, name);
                        compared++;
                    }
                }
            }
        }
        System.out.println(
                "chat templates of checkpoints: " + compared + " conversations compared; as named: " + named);
        assertTrue(compared >= 500, compared + " compared");
    }

    private static void check(ChatEncoder encoder, Conversation conversation, JsonNode item, String name) {
        String where = name + " " + item.path("name").asText();
        boolean prompt = item.path("add_generation_prompt").asBoolean();
        if (item.has("expected_error")) {
            // A named template also writes what the published one refuses, such as a system text.
            if (encoder.template() instanceof JinjaChatTemplate) {
                assertThrows(IllegalArgumentException.class, () -> encoder.encode(conversation, prompt), where);
            }
            return;
        }
        EncodedChat chat;
        try {
            chat = encoder.encode(conversation, prompt);
        } catch (IllegalArgumentException e) {
            assertFalse(prompt, () -> where + ": " + e.getMessage());
            assertTrue(e.getMessage().contains("be told from the rest: "), where + ": " + e.getMessage());
            return;
        }
        Tokenizer tokenizer = encoder.tokenizer();
        assertEquals(item.path("expected").asText(), tokenizer.decode(chat.ids()), where);
        if (item.has("assistant_span_texts") && !prompt) {
            String spans = Fixtures.stream(item.path("assistant_span_texts"))
                    .map(JsonNode::asText)
                    .collect(Collectors.joining());
            assertEquals(spans, trained(encoder, chat), where);
        }
    }

    @Test
    void trainingHasExactMarksOrIsRefused() throws IOException {
        Map<String, List<String>> refused = new TreeMap<>();
        int templates = 0;
        int[] exact = new int[3];
        Set<String> lastOnly = new TreeSet<>();
        for (JsonNode entry : TestData.json(shared.resolve("index.json"))) {
            String name = entry.path("name").asText();
            templates++;
            try (Tokenizer tokenizer = checkpoint(entry)) {
                ChatEncoder encoder = new ChatEncoder(
                        tokenizer, ChatTemplate.ofCheckpoint(tokenizer, CLOCK).orElseThrow());
                List<Conversation> conversations = List.of(ONE_ANSWER, TWO_ANSWERS, THOUGHTS);
                for (int i = 0; i < conversations.size(); i++) {
                    try {
                        String trained = trained(encoder, encoder.encode(conversations.get(i), false));
                        exact[i]++;
                        assertTrue(trained.contains(i == 0 ? "first answer" : "second answer"), name + ": " + trained);
                        assertFalse(trained.contains("question"), name + ": " + trained);
                        if (!trained.contains("first answer")) {
                            lastOnly.add(name);
                        }
                    } catch (IllegalArgumentException e) {
                        refused.computeIfAbsent(name, key -> new ArrayList<>()).add(i + ": " + e.getMessage());
                    }
                }
            }
        }
        System.out.println("chat templates of checkpoints: " + templates + "; exact marks with one answer " + exact[0]
                + ", with two " + exact[1] + ", with thoughts " + exact[2] + "; the last answer alone " + lastOnly);
        refused.forEach((name, reasons) -> System.out.println("refused " + name + " " + reasons));
    }

    private static String trained(ChatEncoder encoder, EncodedChat chat) {
        int[] ids = java.util.stream.IntStream.range(0, chat.ids().length)
                .filter(i -> chat.trained()[i])
                .map(i -> chat.ids()[i])
                .toArray();
        return encoder.tokenizer().decode(ids);
    }

    /** A tokenizer whose special tokens are those that the template writes, with the template beside it. */
    private Tokenizer checkpoint(JsonNode entry) throws IOException {
        String source = Fixtures.text(shared.resolve(entry.path("name").asText() + ".jinja"));
        ObjectNode definition = (ObjectNode) TestData.json(TestData.resource("text/bytelevel/tokenizer.json"));
        ArrayNode added = definition.withArray("added_tokens");
        Set<String> known = new TreeSet<>();
        int last = definition.path("model").path("vocab").size();
        for (JsonNode token : added) {
            known.add(token.path("content").asText());
            last = Math.max(last, token.path("id").asInt());
        }
        Set<String> specials = SPECIAL.matcher(source)
                .results()
                .map(MatchResult::group)
                .collect(Collectors.toCollection(TreeSet::new));
        ObjectNode config = JSON.createObjectNode();
        for (String part : List.of("bos_token", "eos_token")) {
            config.set(part, entry.path(part));
            specials.add(entry.path(part).asText());
        }
        specials.removeAll(known);
        specials.remove("");
        for (String special : specials) {
            ObjectNode token = added.addObject();
            token.put("id", ++last).put("content", special).put("special", true);
            for (String flag : List.of("single_word", "lstrip", "rstrip", "normalized")) {
                token.put(flag, false);
            }
        }
        JSON.writeValue(folder.resolve("tokenizer.json").toFile(), definition);
        JSON.writeValue(folder.resolve("tokenizer_config.json").toFile(), config);
        Files.writeString(folder.resolve("chat_template.jinja"), source);
        return Tokenizer.load(folder);
    }

    /** Empty if the order of the messages is none that a conversation has. */
    private static Optional<Conversation> conversation(JsonNode item) {
        List<ChatMessage> messages = new ArrayList<>();
        for (JsonNode message : item.path("messages")) {
            Map<String, @Nullable Object> fields = map(message);
            Role role = Role.valueOf(String.valueOf(fields.remove("role")).toUpperCase(Locale.ROOT));
            Object content = fields.get("content");
            if (content instanceof String) {
                fields.remove("content");
            }
            messages.add(new ChatMessage(role, content instanceof String text ? text : "", fields));
        }
        List<Map<String, @Nullable Object>> tools = new ArrayList<>();
        item.path("tools").forEach(tool -> tools.add(map(tool)));
        try {
            return Optional.of(new Conversation(messages, tools));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    private static Map<String, @Nullable Object> map(JsonNode object) {
        return JSON.convertValue(object, new TypeReference<LinkedHashMap<String, @Nullable Object>>() {});
    }
}
