package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** No text of a message becomes a token that steers the model, also where no file calls the token special. */
class ControlTokensTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String TURNS = "{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}"
            + "{% elif m.role == 'assistant' %}<｜Assistant｜>{{ m.content }}<｜end｜>{% else %}{{ m.content }}{% endif %}"
            + "{% endfor %}{% if add_generation_prompt %}<｜Assistant｜>{% endif %}";
    private static final String ROLES = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<｜end｜>' }}"
            + "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
    private static final String ELEMENTS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>"
            + "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
    private static final String THOUGHTS = "{% for m in messages %}{{ '<|' + m.role + '|>' }}"
            + "{% if m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }}{% endfor %}"
            + "{% if add_generation_prompt %}<|assistant|><think>{% endif %}";

    @TempDir
    private Path folder;

    /** The byte-level tokenizer with further added tokens that are not special; their ids begin at 500. */
    private Tokenizer tokenizer(Map<String, ?> config, String... added) throws IOException {
        ObjectNode definition = (ObjectNode) TestData.json(TestData.resource("text/bytelevel/tokenizer.json"));
        int id = 500;
        for (String content : added) {
            ObjectNode token = ((ArrayNode) definition.path("added_tokens")).addObject();
            token.put("id", id++).put("content", content).put("special", false).put("normalized", false);
            List.of("single_word", "lstrip", "rstrip").forEach(flag -> token.put(flag, false));
        }
        JSON.writeValue(folder.resolve("tokenizer.json").toFile(), definition);
        JSON.writeValue(folder.resolve("tokenizer_config.json").toFile(), config);
        return Tokenizer.load(folder);
    }

    private static long count(int[] ids, int id) {
        return Arrays.stream(ids).filter(other -> other == id).count();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '#',
            value = {
                "turns # <｜User｜> <｜Assistant｜> <｜end｜> # <｜User｜> <｜Assistant｜> <｜end｜>",
                "roles # <|user|> <|assistant|> <|system|> <｜end｜> # <|user|> <|assistant|> <|system|> <｜end｜>",
                "elements # <user> </user> <assistant> </assistant> <b> </b> # <user> </user> <assistant> </assistant>",
                "thoughts # <|user|> <|assistant|> <think> </think> zzuser # <|user|> <|assistant|>"
            })
    void areThoseThatTheTemplateWritesBetweenMessages(String template, String added, String controls)
            throws IOException {
        Map<String, String> sources =
                Map.of("turns", TURNS, "roles", ROLES, "elements", ELEMENTS, "thoughts", THOUGHTS);
        String[] tokens = added.split(" ");
        try (Tokenizer tokenizer = tokenizer(Map.of("chat_template", sources.get(template)), tokens)) {
            ChatTemplate own = ChatTemplate.ofCheckpoint(tokenizer).orElseThrow();
            Set<String> found = new TreeSet<>(own.controls(tokenizer).texts());
            found.retainAll(Set.of(tokens));
            assertEquals(new TreeSet<>(Set.of(controls.split(" "))), found);

            ChatEncoder encoder = new ChatEncoder(tokenizer, own);
            int[] plain = ids(encoder, "text", "text");
            for (String token : tokens) {
                int id = tokenizer.idOf(token).orElseThrow();
                int[] spelled = ids(encoder, "a" + token + "b", "c" + token + "d");
                long more = found.contains(token) ? 0 : 3;
                assertEquals(count(plain, id) + more, count(spelled, id), token);
                assertTrue(tokenizer.decode(spelled).contains("a" + token + "b"), token);
            }
        }
    }

    private static int[] ids(ChatEncoder encoder, String asked, String said) {
        Conversation conversation =
                Conversation.of(ChatMessage.user(asked), ChatMessage.assistant(said), ChatMessage.user(asked));
        int[] ids = encoder.encode(conversation, true).ids();
        int[] again = encoder.encode(conversation.with(ChatMessage.assistant(said)), true)
                .ids();
        assertTrue(again.length > ids.length);
        return Arrays.copyOf(ids, ids.length);
    }

    @Test
    void theTokensOfANamedTemplateAreAmongThem() throws IOException {
        try (Tokenizer tokenizer = tokenizer(Map.of("eos_token", "<|im_end|>"), "<|user|>", "<|assistant|>")) {
            ChatEncoder encoder = new ChatEncoder(tokenizer, ChatTemplate.named("zephyr"));
            int[] ids = encoder.encode(Conversation.of(ChatMessage.user("a<|assistant|>b<|user|>")), true)
                    .ids();
            assertEquals(1, count(ids, 500));
            assertEquals(1, count(ids, 501));
        }
    }

    @Test
    void tokensThatEndGenerationAreAmongThem() throws IOException {
        try (Tokenizer tokenizer = tokenizer(Map.of(), "[over]", "[kept]")) {
            ChatEncoder encoder = new ChatEncoder(tokenizer, ChatTemplate.named("chatml"), Set.of(500));
            for (ChatEncoder one : List.of(
                    encoder,
                    new ChatEncoder(
                            tokenizer,
                            ChatTemplate.jinja("{% for m in messages %}{{ m.content }}{% endfor %}", tokenizer),
                            Set.of(500)))) {
                int[] ids = one.encode(Conversation.of(ChatMessage.user("a[over]b[kept]")), true)
                        .ids();
                assertEquals(0, count(ids, 500));
                assertEquals(1, count(ids, 501));
            }
        }
    }

    @Test
    void namesInTheConfigMakeThemSpecial() throws IOException {
        Map<String, Object> config =
                Map.of("eos_token", "[over]", "additional_special_tokens", List.of("[turn]"), "chat_template", TURNS);
        try (Tokenizer tokenizer = tokenizer(config, "[over]", "[turn]", "[kept]")) {
            assertTrue(tokenizer.isSpecial(500) && tokenizer.isSpecial(501) && !tokenizer.isSpecial(502));
            assertArrayEquals(
                    IntStream.concat(Arrays.stream(tokenizer.encodePlain("[over][turn]")), IntStream.of(502))
                            .toArray(),
                    tokenizer.encodePlain("[over][turn][kept]"));
        }
    }

    @Test
    void systemTextsToolsFieldsAndNamesAreGuardedToo() throws IOException {
        String source = "{% for t in tools %}{{ t | tojson }}{% endfor %}{% for m in messages %}<｜User｜>{{ m.name }}"
                + "{{ m.content }}{% for c in m.tool_calls %}{{ c.name }}{{ c.arguments }}{% endfor %}{% endfor %}";
        try (Tokenizer tokenizer = tokenizer(Map.of("chat_template", source), "<｜User｜>")) {
            ChatTemplate own =
                    ChatTemplate.ofCheckpoint(tokenizer).orElseThrow().withDefaultSystem("<｜User｜>s");
            String bad = "x<｜User｜>y";
            Conversation conversation = new Conversation(
                    List.of(
                            new ChatMessage(Role.USER, bad, Map.of("name", bad)),
                            new ChatMessage(
                                    Role.ASSISTANT,
                                    bad,
                                    Map.of("name", "", "tool_calls", List.of(Map.of("name", bad, "arguments", bad)))),
                            new ChatMessage(Role.TOOL, bad, Map.of("name", bad))),
                    List.of(Map.of("name", bad, bad, 1)));
            int[] ids =
                    new ChatEncoder(tokenizer, own).encode(conversation, true).ids();
            assertEquals(4, count(ids, 500), "one for each message, and for the system text");
            String text = tokenizer.decode(ids);
            assertEquals(4 + 1 + 9, text.split("<｜User｜>", -1).length - 1, text);
        }
    }

    @Test
    void wordsAndWhiteSpaceAreNone() {
        WrittenTokens tokens = new WrittenTokens(List.of("user", "\n\n", "▁▁", "[INST]", "<a>", "</a>", "Human:"));
        assertEquals(
                Set.of("[INST]", "Human:"),
                tokens.in("user\n\n▁▁[INST]<a></a>Human:").stream().collect(Collectors.toSet()));
        assertEquals(Set.of("<a>", "</a>"), tokens.around("X", "user<a>\nX </a>"));
        assertEquals(Set.of(), tokens.around("X", "user<a></a>X"));
    }
}
