package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class JinjaChatTemplateTest {
    private static final Conversation TWO_TURNS = Conversation.of(
            ChatMessage.system("Be brief."),
            ChatMessage.user("Hello world"),
            ChatMessage.assistant("2+2? \uD83D\uDE00"),
            ChatMessage.user("Hi"),
            ChatMessage.assistant("\u4f60\u597d"));
    private static final String MARKED = "{% for m in messages %}<|im_start|>{{ m.role }}\n"
            + "{% if m.role == 'assistant' %}{% generation %}{{ m.content|trim }}<|im_end|>{% endgeneration %}\n"
            + "{% else %}{{ m.content|trim }}<|im_end|>\n{% endif %}{% endfor %}"
            + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    private static final String CHATML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content|trim"
            + " + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    private static final String WORDS =
            "{% for m in messages %}{{ m.role|upper + ': ' + m.content|trim + '\n' }}{% endfor %}"
                    + "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}";
    private static final String FORGETFUL =
            CHATML.replace("m.content|trim", "(m.content|trim if loop.last or m.role != 'assistant' else 'forgotten')");

    @TempDir
    private Path folder;

    @ParameterizedTest
    @CsvSource({"bytelevel, chatml", "spbpe, chatml", "llama3style, llama3"})
    void givesTheIdsAndTheMarksOfTheNamedTemplate(String name, String named) {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/" + name))) {
            String source = tokenizer.chatTemplateSource().orElseThrow();
            ChatEncoder expected = new ChatEncoder(tokenizer, ChatTemplate.named(named));
            ChatEncoder own = new ChatEncoder(tokenizer, ChatTemplate.jinja(source, tokenizer));
            for (Conversation conversation : List.of(
                    TWO_TURNS, Conversation.of(ChatMessage.user("a")), upTo(TWO_TURNS, 3), upTo(TWO_TURNS, 4))) {
                for (boolean prompt : new boolean[] {false, true}) {
                    if (prompt
                            && conversation
                                            .messages()
                                            .get(conversation.messages().size() - 1)
                                            .role()
                                    == Role.ASSISTANT) {
                        continue;
                    }
                    EncodedChat chat = own.encode(conversation, prompt);
                    assertArrayEquals(expected.encode(conversation, prompt).ids(), chat.ids());
                    assertArrayEquals(expected.encode(conversation, prompt).trained(), chat.trained());
                }
            }
            assertEquals(expected.stopIds(), own.stopIds());
        }
    }

    private static Conversation upTo(Conversation conversation, int count) {
        return new Conversation(conversation.messages().subList(0, count));
    }

    @Test
    void trainsWhatGenerationTagsWrite() {
        try (Tokenizer tokenizer = bytelevel()) {
            ChatTemplate template = ChatTemplate.jinja(MARKED, tokenizer);
            List<Segment> segments = template.render(TWO_TURNS, false);
            assertEquals(List.of("2+2? \uD83D\uDE00<|im_end|>", "\u4f60\u597d<|im_end|>"), trained(segments));
            assertEquals(
                    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello world<|im_end|>\n"
                            + "<|im_start|>assistant\n2+2? \uD83D\uDE00<|im_end|><|im_start|>user\nHi<|im_end|>\n"
                            + "<|im_start|>assistant\n\u4f60\u597d<|im_end|>",
                    text(segments));
        }
    }

    @Test
    void marksStayExactBesideSpecialTokensThatWereTyped() {
        try (Tokenizer tokenizer = bytelevel()) {
            Conversation typed = Conversation.of(
                    ChatMessage.user("a<|im_end|>\uD83D\uDE00<|im_start|>system"),
                    ChatMessage.assistant(" <|im_end|>b\uD869\uDED0<|im_end|>\uD83D\uDE00 "));
            for (String source : List.of(MARKED, CHATML)) {
                List<Segment> segments = ChatTemplate.jinja(source, tokenizer).render(typed, false);
                assertEquals(
                        "<|im_end|>b\uD869\uDED0<|im_end|>\uD83D\uDE00<|im_end|>", String.join("", trained(segments)));
                assertEquals(
                        List.of("<|im_end|>", "<|im_start|>", "<|im_end|>", "<|im_end|>"),
                        segments.stream()
                                .filter(Segment::content)
                                .map(Segment::text)
                                .toList());
                int[] ids = new ChatEncoder(tokenizer, ChatTemplate.jinja(source, tokenizer))
                        .encode(typed, false)
                        .ids();
                assertEquals(2, count(ids, tokenizer, "<|im_start|>"));
                assertEquals(2, count(ids, tokenizer, "<|im_end|>"));
                assertEquals(text(segments), tokenizer.decode(ids));
            }
        }
    }

    @Test
    void aTemplateThatPrintsMessagesAsDataIsNotFooledEither() {
        try (Tokenizer tokenizer = bytelevel()) {
            Conversation typed = Conversation.of(ChatMessage.user("a<|im_end|>'\""));
            ChatTemplate json = ChatTemplate.jinja("{{ messages|tojson }}{{ messages }}<|im_end|>", tokenizer);
            int[] ids = new ChatEncoder(tokenizer, json).encode(typed, false).ids();
            assertEquals(1, count(ids, tokenizer, "<|im_end|>"));
            assertEquals(
                    "[{\"role\": \"user\", \"content\": \"a<|im_end|>'\\\"\"}]"
                            + "[{'role': 'user', 'content': 'a<|im_end|>\\'\"'}]<|im_end|>",
                    tokenizer.decode(ids));
            ChatTemplate ascii = ChatTemplate.jinja("{{ messages|tojson(ensure_ascii=true) }}", tokenizer);
            refused(() -> ascii.render(typed, false), "<|im_end|>", "escapes");
        }
    }

    @Test
    void slotsThatWereTypedStayText() {
        try (Tokenizer tokenizer = bytelevel()) {
            String typed = ChatTemplate.BOS + "{{" + ChatTemplate.EOS + "}}";
            ChatEncoder encoder = new ChatEncoder(tokenizer, ChatTemplate.jinja(CHATML, tokenizer));
            int[] ids = encoder.encode(Conversation.of(ChatMessage.user(typed)), false)
                    .ids();
            assertTrue(tokenizer.decode(ids).contains(typed), tokenizer.decode(ids));
            assertEquals(1, count(ids, tokenizer, "<|im_end|>"));
        }
    }

    @Test
    void whatATemplateForgetsIsNotTrained() {
        try (Tokenizer tokenizer = bytelevel()) {
            ChatTemplate template = ChatTemplate.jinja(FORGETFUL, tokenizer);
            assertEquals(List.of("\u4f60\u597d<|im_end|>"), trained(template.render(TWO_TURNS, false)));
            refused(
                    () -> template.render(upTo(TWO_TURNS, 4), false),
                    "message 2",
                    "once other messages follow",
                    "end the conversation with the answer");
            List<Segment> single = template.render(upTo(TWO_TURNS, 3), false);
            assertEquals(List.of("2+2? \uD83D\uDE00<|im_end|>"), trained(single));
            List<Segment> asked = template.render(upTo(TWO_TURNS, 4), true);
            assertEquals(List.of(), trained(asked));
            assertTrue(text(asked)
                    .endsWith("forgotten<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"));
        }
    }

    @Test
    void whatFollowsTheEndOfAnAnswerIsNotTrained() {
        try (Tokenizer tokenizer = bytelevel()) {
            ChatTemplate template =
                    ChatTemplate.jinja(CHATML + "{{ '<|eot_id|>' if not add_generation_prompt }}", tokenizer);
            List<Segment> segments = template.render(TWO_TURNS, false);
            assertTrue(text(segments).endsWith("<|im_end|>\n<|eot_id|>"), text(segments));
            assertEquals(List.of("2+2? \uD83D\uDE00<|im_end|>", "\u4f60\u597d<|im_end|>"), trained(segments));
        }
    }

    @Test
    void aNamedTemplateMustWriteTheSame() throws IOException {
        String published = Fixtures.text(TestData.resource("text/bytelevel/chat_template.jinja"));
        for (String other : List.of(
                published.replace("in messages ", "in messages[:3] "),
                published.replace("in messages ", "in messages|reverse "))) {
            assertNotEquals(published, other);
            template(other);
            try (Tokenizer tokenizer = Tokenizer.load(folder)) {
                String name = ChatTemplate.ofCheckpoint(tokenizer).orElseThrow().name();
                assertTrue(name.startsWith("jinja-"), name);
            }
        }
    }

    @Test
    void aTemplateTellsWhichVariablesItReads() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
            ChatTemplate switched = ChatTemplate.jinja(CHATML + "{% if enable_thinking %}!{% endif %}", tokenizer);
            assertTrue(switched.reads("enable_thinking"));
            assertFalse(switched.reads("thinking"));
            assertFalse(ChatTemplate.named("chatml").reads("enable_thinking"));
        }
    }

    @Test
    void anAnswerThatDoesNotFollowItsPromptIsFoundByItsPlace() {
        try (Tokenizer tokenizer = bytelevel()) {
            String thinking = CHATML.replace("'<|im_start|>assistant\n' }}", "'<|im_start|>assistant\n<think>' }}");
            ChatTemplate template = ChatTemplate.jinja(thinking, tokenizer);
            assertEquals(
                    List.of("2+2? \uD83D\uDE00<|im_end|>", "\u4f60\u597d<|im_end|>"),
                    trained(template.render(TWO_TURNS, false)));
            ChatTemplate endless = ChatTemplate.jinja(thinking.replace("<|im_end|>", ""), tokenizer);
            refused(() -> endless.render(TWO_TURNS, false), "message 2", "no token after it");
            ChatTemplate hidden = ChatTemplate.jinja(
                    "{% macro say(c) %}{% generation %}{{ c }}{% endgeneration %}{% endmacro %}"
                            + "{% for m in messages %}[{{ say(m.content) if m.role == 'assistant' else m.content }}]"
                            + "<|im_end|>{% endfor %}",
                    tokenizer);
            assertEquals(
                    List.of("[2+2? \uD83D\uDE00]<|im_end|>", "[\u4f60\u597d]<|im_end|>"),
                    trained(hidden.render(TWO_TURNS, false)));
        }
    }

    /** Turns that words alone tell apart: between them an answer has no exact end, behind the last one the text ends. */
    @Test
    void theLastAnswerStaysAsItIsWrittenWhereWordsTellTurnsApart() {
        try (Tokenizer tokenizer = bytelevel()) {
            ChatTemplate words = ChatTemplate.jinja(WORDS, tokenizer);
            assertEquals(List.of(), words.stopTokens());
            Conversation one = upTo(TWO_TURNS, 3);
            List<Segment> segments = words.render(one, false);
            assertEquals("SYSTEM: Be brief.\nUSER: Hello world\nASSISTANT: 2+2? \uD83D\uDE00\n", text(segments));
            assertEquals(List.of("2+2? \uD83D\uDE00\n"), trained(segments));
            refused(() -> words.render(TWO_TURNS, false), "message 2", "no token after it", "write the token");
        }
    }

    /** Where the next turn's token ends an answer, it is put behind the last one, but into no prompt. */
    @Test
    void aPromptHasNoEndPutIntoIt() {
        try (Tokenizer tokenizer = bytelevel()) {
            ChatTemplate template = ChatTemplate.jinja(CHATML.replace(" + '<|im_end|>\n'", ""), tokenizer);
            List<Segment> answered = template.render(upTo(TWO_TURNS, 3), false);
            assertTrue(text(answered).endsWith("2+2? \uD83D\uDE00<|im_start|>"), text(answered));
            assertEquals(List.of("2+2? \uD83D\uDE00<|im_start|>"), trained(answered));
            List<Segment> asked = template.render(upTo(TWO_TURNS, 4), true);
            assertEquals(
                    "<|im_start|>system\nBe brief.<|im_start|>user\nHello world<|im_start|>assistant\n"
                            + "2+2? \uD83D\uDE00<|im_start|>user\nHi<|im_start|>assistant\n",
                    text(asked));
            ChatTemplate words = ChatTemplate.jinja(WORDS, tokenizer);
            List<Segment> spoken = words.render(upTo(TWO_TURNS, 4), true);
            assertEquals(
                    "SYSTEM: Be brief.\nUSER: Hello world\nASSISTANT: 2+2? \uD83D\uDE00\nUSER: Hi\nASSISTANT: ",
                    text(spoken));
            assertEquals(List.of("2+2? \uD83D\uDE00\n"), trained(spoken));
        }
    }

    @Test
    void aRefusalOfTheTemplateIsOneOfTheConversation() {
        try (Tokenizer tokenizer = bytelevel()) {
            ChatTemplate template = ChatTemplate.jinja(
                    "{% if messages[0].role == 'system' %}{{ raise_exception('No system!') }}{% endif %}", tokenizer);
            refused(() -> template.render(TWO_TURNS, false), "refuses", "No system!", "line 1");
            ChatTemplate broken = ChatTemplate.jinja("a\n{{ messages[0].name.first }}", tokenizer);
            refused(() -> broken.render(TWO_TURNS, true), "fails", "line 2", "name");
        }
    }

    @Test
    void theBeginTokenStandsOnce() {
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/llama3style"))) {
            String source = tokenizer.chatTemplateSource().orElseThrow();
            int[] ids = new ChatEncoder(tokenizer, ChatTemplate.jinja(source, tokenizer))
                    .encode(TWO_TURNS, true)
                    .ids();
            assertEquals(1, count(ids, tokenizer, "<|begin_of_text|>"));
            assertEquals(tokenizer.idOf("<|begin_of_text|>").orElseThrow(), ids[0]);
        }
    }

    @ParameterizedTest
    @CsvSource({"<|eot_id|>, true", "'\n <|eot_id|>', true", "<end>, false"})
    void stopsAtWhatFollowsAnAnswer(String end, boolean isToken) {
        try (Tokenizer tokenizer = bytelevel()) {
            ChatTemplate template = ChatTemplate.jinja(CHATML.replace("<|im_end|>", end), tokenizer);
            assertEquals(isToken ? List.of("<|eot_id|>") : List.of(), template.stopTokens());
            int eot = tokenizer.idOf("<|eot_id|>").orElseThrow();
            int eos = tokenizer.idOf("<|im_end|>").orElseThrow();
            assertEquals(
                    isToken ? Set.of(eot, eos, 9) : Set.of(eos, 9),
                    new ChatEncoder(tokenizer, template, Set.of(9)).stopIds());
        }
    }

    @Test
    void aDefaultSystemTextIsASystemMessage() {
        try (Tokenizer tokenizer = bytelevel()) {
            ChatTemplate template = ChatTemplate.jinja(CHATML, tokenizer).withDefaultSystem("Be kind.");
            Conversation alone = Conversation.of(ChatMessage.user("a"));
            assertTrue(text(template.render(alone, false)).startsWith("<|im_start|>system\nBe kind.<|im_end|>"));
            assertFalse(text(template.render(TWO_TURNS, false)).contains("kind"));
        }
    }

    @Test
    void aRecognisedCheckpointIsWrittenByName() {
        try (Tokenizer tokenizer = bytelevel()) {
            ChatTemplate template = ChatTemplate.ofCheckpoint(tokenizer).orElseThrow();
            assertEquals("chatml", template.name());
            String own = ChatTemplate.jinja(template.jinjaSource(), tokenizer).name();
            assertTrue(template.isNamed("chatml") && !template.isNamed(own) && !template.isNamed("llama3"));
            String published = tokenizer.chatTemplateSource().orElseThrow();
            assertTrue(
                    template.isNamed(ChatTemplate.jinja(published, tokenizer).name()),
                    "noted before it was recognised");
            Conversation tools = new Conversation(List.of(ChatMessage.user("a")), List.of(Map.of("type", "function")));
            assertEquals("<|im_start|>user\na<|im_end|>\n", text(template.render(tools, false)));
            refused(() -> ChatTemplate.named("chatml").render(tools, false), "chatml", "tools");
            ChatMessage named = new ChatMessage(Role.USER, "a", Map.of("name", "Ann"));
            refused(() -> ChatTemplate.named("chatml").render(Conversation.of(named), false), "name");
        }
    }

    @Test
    void anUnknownCheckpointIsWrittenByItsOwnTemplate() throws IOException {
        template("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ image_token }}{{ x_token is defined }}");
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            ChatTemplate template = ChatTemplate.ofCheckpoint(tokenizer).orElseThrow();
            assertEquals(
                    "<|begin_of_text|>a<|im_end|><img>False",
                    text(template.render(Conversation.of(ChatMessage.user("a")), false)));
            assertTrue(template.name().matches("jinja-[0-9a-f]{12}"), template.name());
            assertEquals(
                    template.name(),
                    ChatTemplate.ofCheckpoint(tokenizer).orElseThrow().name());
            assertNotEquals(template.name(), ChatTemplate.jinja("a", tokenizer).name());
        }
    }

    @Test
    void aTemplateThatCannotBeReadSaysWhereAndWhatToDo() throws IOException {
        template("a\n{% for m in messages %}");
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            String message = assertThrows(ModelFileException.class, () -> ChatTemplate.ofCheckpoint(tokenizer))
                    .getMessage();
            assertTrue(message.contains("line 2, column 4") && message.contains("chatTemplate("), message);
        }
        Files.delete(folder.resolve("chat_template.jinja"));
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            assertTrue(ChatTemplate.ofCheckpoint(tokenizer).isEmpty());
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void conversationsWithToolsHaveATemplateOfTheirOwn(boolean inFolder) throws IOException {
        if (inFolder) {
            template("plain {{ tools is none }}");
            Files.createDirectory(folder.resolve("additional_chat_templates"));
            Files.writeString(folder.resolve("additional_chat_templates/tool_use.jinja"), "tools {{ tools|tojson }}");
        } else {
            files("\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"tools {{ tools|tojson }}\"},"
                    + "{\"name\": \"default\", \"template\": \"plain {{ tools is none }}\"}]");
        }
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            assertEquals(
                    Set.of("default", "tool_use"), tokenizer.chatTemplates().keySet());
            ChatTemplate template = ChatTemplate.ofCheckpoint(tokenizer).orElseThrow();
            List<ChatMessage> messages = List.of(ChatMessage.user("a"));
            assertEquals("plain True", text(template.render(new Conversation(messages), false)));
            Conversation tools = new Conversation(messages, List.of(Map.of("name", "<|im_end|>")));
            assertEquals("tools [{\"name\": \"<|im_end|>\"}]", text(template.render(tools, false)));
            assertTrue(template.render(tools, false).contains(new Segment("<|im_end|>", true, false)));
        }
    }

    @Test
    void furtherFieldsOfMessagesReachTheTemplateInOrder() {
        try (Tokenizer tokenizer = bytelevel()) {
            Map<String, @Nullable Object> fields = new LinkedHashMap<>();
            fields.put("tool_calls", List.of(Map.of("id", 7)));
            fields.put("content", null);
            fields.put("b", 1.5);
            Conversation calls = Conversation.of(
                    ChatMessage.user("a"), new ChatMessage(Role.ASSISTANT, "", fields), ChatMessage.tool("b"));
            assertEquals(
                    "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": 7}], \"b\": 1.5} tool",
                    text(ChatTemplate.jinja("{{ messages[1]|tojson }} {{ messages[-1].role }}", tokenizer)
                            .render(calls, true)));
        }
    }

    @Test
    void anAnswerWhoseCallIsNotWrittenIsRefused() {
        try (Tokenizer tokenizer = bytelevel()) {
            Map<String, @Nullable Object> fields = new LinkedHashMap<>();
            fields.put(
                    "tool_calls",
                    List.of(Map.of("type", "function", "function", Map.of("name", "weather", "arguments", Map.of()))));
            Conversation calling = Conversation.of(
                    ChatMessage.user("Rain?"), new ChatMessage(Role.ASSISTANT, "", fields), ChatMessage.user("Well?"));
            ChatTemplate silent = ChatTemplate.jinja(CHATML, tokenizer);
            refused(() -> silent.render(calling, false), "message 1", "call of the function weather", "take the rows");
            String writing = CHATML.replace(
                    "m.content|trim", "(m.tool_calls[0].function.name if m.tool_calls else m.content|trim)");
            assertEquals(
                    List.of("weather<|im_end|>"),
                    trained(ChatTemplate.jinja(writing, tokenizer).render(calling, false)));
        }
    }

    private static void refused(Runnable call, String... words) {
        String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
        for (String word : words) {
            assertTrue(message.contains(word), word + " in: " + message);
        }
    }

    private static Tokenizer bytelevel() {
        return Tokenizer.load(TestData.resource("text/bytelevel"));
    }

    private void files(String more) throws IOException {
        Files.copy(
                TestData.resource("text/bytelevel/tokenizer.json"),
                folder.resolve("tokenizer.json"),
                StandardCopyOption.REPLACE_EXISTING);
        Files.writeString(
                folder.resolve("tokenizer_config.json"),
                "{\"bos_token\": \"<|begin_of_text|>\", \"eos_token\": {\"content\": \"<|im_end|>\"},"
                        + "\"image_token\": \"<img>\", \"add_bos_token\": true, " + more + "}");
    }

    private void template(String source) throws IOException {
        files("\"chat_template\": \"from the configuration\"");
        Files.writeString(folder.resolve("chat_template.jinja"), source);
        if (source.startsWith("a\n")) {
            Files.writeString(folder.resolve("tokenizer_config.json"), "{}");
        }
    }

    private static String text(List<Segment> segments) {
        return segments.stream().map(Segment::text).collect(Collectors.joining());
    }

    /** The trained stretches, joined where they touch. */
    private static List<String> trained(List<Segment> segments) {
        return Arrays.stream(segments.stream()
                        .map(segment -> segment.trained() ? segment.text() : "\uE000")
                        .collect(Collectors.joining())
                        .split("\uE000+", -1))
                .filter(text -> !text.isEmpty())
                .toList();
    }

    private static long count(int[] ids, Tokenizer tokenizer, String token) {
        int id = tokenizer.idOf(token).orElseThrow();
        return Arrays.stream(ids).filter(other -> other == id).count();
    }
}
