package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.json.PlainValues;
import dev.finetune4j.testsupport.ChatFamily;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
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
        Path found = Needs.shared("fixtures/chat-templates");
        shared = found;
    }

    @Test
    void chatsHaveTheTextOfTransformers() throws IOException {
        int compared = 0;
        int variables = 0;
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
                    if (conversation != null && !(name.equals("glm-4-0414") && hasResults(conversation))) {
                        Conversation whole = withVariables(conversation, item);
                        check(encoder, whole, item, name);
                        compared++;
                        variables += whole.templateVariables().size();
                    }
                }
            }
        }
        System.out.println(
                "chat templates of checkpoints: " + compared + " conversations compared; as named: " + named);
        assertTrue(compared >= 500, compared + " compared");
        assertTrue(variables >= 20, variables + " variables such as enable_thinking");
        // Others that look like one of a name write something else, such as mistral-7b-instruct-v0.3, which leaves
        // system
        // texts out. The names are saved with adapters, so each of them has to stay.
        assertEquals(
                Set.of(
                        "chatml-openhermes=chatml",
                        "command-r-v01=cohere",
                        "gemma-2-2b-it=gemma",
                        "llama-3-instruct=llama3",
                        "llama-3-training-generation=llama3",
                        "mistral-7b-instruct-v0.1=mistral",
                        "phi-4=phi4",
                        "qwen2.5-instruct=qwen",
                        "qwen3-instruct-2507=chatml",
                        "yi-1.5-chat=yi",
                        "yi-34b-chat=chatml",
                        "zephyr-7b-beta=zephyr"),
                named);
    }

    /** Of OpenAI's words for calls and results GLM writes neither; what it gets in their place, {@link FamilyChatTest} compares. */
    private static boolean hasResults(Conversation conversation) {
        return conversation.messages().stream().anyMatch(message -> message.role() == Role.TOOL);
    }

    /** With the variables that are the model's own, such as {@code enable_thinking}. */
    private static Conversation withVariables(Conversation conversation, JsonNode item) {
        Conversation whole = conversation;
        for (Map.Entry<String, JsonNode> variable : item.path("variables").properties()) {
            if (!Set.of("bos_token", "eos_token").contains(variable.getKey())) {
                whole = whole.withTemplateVariable(variable.getKey(), PlainValues.of(variable.getValue()));
            }
        }
        return whole;
    }

    private static void check(ChatEncoder encoder, Conversation conversation, JsonNode item, String name) {
        String where = name + " " + item.path("name").asText();
        boolean prompt = item.path("add_generation_prompt").asBoolean();
        if (item.has("expected_error")) {
            // A named template also writes what the published one refuses, such as a system text; and calls are given
            // to a
            // template in the form that it can write.
            boolean calls = conversation.messages().stream()
                    .anyMatch(message -> message.fields().containsKey("tool_calls"));
            boolean fails = item.path("error_kind").asText().equals("runtime");
            if (encoder.template() instanceof JinjaChatTemplate && !(calls && fails)) {
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
        String expected = item.path("expected").asText();
        String text = tokenizer.decode(chat.ids());
        if (!prompt && !text.equals(expected)) {
            // The end of the last answer, which this template leaves out.
            int[] ids = chat.ids();
            assertTrue(encoder.stopIds().contains(ids[ids.length - 1]) && chat.trained()[ids.length - 1], where);
            text = tokenizer.decode(Arrays.copyOf(ids, ids.length - 1));
        }
        assertEquals(expected, text, where);
        if (item.has("assistant_span_texts") && !prompt) {
            String spans = Fixtures.stream(item.path("assistant_span_texts"))
                    .map(JsonNode::asText)
                    .collect(Collectors.joining());
            assertEquals(spans, trained(encoder, chat), where);
        }
    }

    @Test
    void trainingHasExactMarksOrIsRefused() throws IOException {
        List<Conversation> conversations = List.of(ONE_ANSWER, TWO_ANSWERS, THOUGHTS);
        int[] exact = new int[conversations.size()];
        Map<String, String> refused = new TreeMap<>();
        Set<String> lastAlone = new TreeSet<>();
        for (JsonNode entry : TestData.json(shared.resolve("index.json"))) {
            String name = entry.path("name").asText();
            try (Tokenizer tokenizer = checkpoint(entry)) {
                ChatEncoder encoder = new ChatEncoder(
                        tokenizer, ChatTemplate.ofCheckpoint(tokenizer, CLOCK).orElseThrow());
                for (int i = 0; i < exact.length; i++) {
                    String trained = marks(encoder, conversations.get(i), name, refused);
                    exact[i] += trained == null ? 0 : 1;
                    if (trained != null && !trained.contains("first answer")) {
                        lastAlone.add(name);
                    }
                }
            }
        }
        System.out.println("chat templates of checkpoints: exact marks with one answer from " + exact[0]
                + ", with two from " + exact[1] + ", with thoughts from " + exact[2] + "; the last answer alone from "
                + lastAlone + "; refused by " + refused.size() + " " + refused);
        assertTrue(exact[0] >= 38 && exact[1] >= 38 && exact[2] >= 38, "exact marks");
    }

    /** The trained text; null if it was refused. */
    private static @Nullable String marks(
            ChatEncoder encoder, Conversation conversation, String name, Map<String, String> refused) {
        EncodedChat chat;
        try {
            chat = encoder.encode(conversation, false);
        } catch (IllegalArgumentException e) {
            String reason = String.valueOf(e.getMessage());
            assertTrue(reason.contains("be told from the rest: ") || reason.contains("fails on"), name + reason);
            refused.put(name, reason.replaceAll("^.*(the rest:|fails on the conversation:) |;.*$", ""));
            return null;
        }
        String trained = trained(encoder, chat);
        int last = conversation.messages().size() - 1;
        String answer = conversation.messages().get(last).content().replaceFirst("(?s)^.*</think>\\s*", "");
        assertTrue(trained.contains(answer), name + ": " + trained);
        assertFalse(trained.contains("question"), name + ": " + trained);
        // What is not trained holds an answer only if that stands there without its thoughts, which may be empty ones.
        boolean skipped = last > 1 && !trained.contains("first answer");
        String untrained = decode(encoder, chat, false);
        assertEquals(skipped, untrained.contains("answer"), name + ": " + untrained);
        return trained;
    }

    private static String trained(ChatEncoder encoder, EncodedChat chat) {
        return decode(encoder, chat, true);
    }

    private static String decode(ChatEncoder encoder, EncodedChat chat, boolean trained) {
        int[] ids = IntStream.range(0, chat.ids().length)
                .filter(i -> chat.trained()[i] == trained)
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
            last = Math.max(last, token.path("id").asInt() + 1);
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
            token.put("id", last++).put("content", special).put("special", true);
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
        try {
            return Optional.of(ChatFamily.conversation(item, Map.of()));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }
}
