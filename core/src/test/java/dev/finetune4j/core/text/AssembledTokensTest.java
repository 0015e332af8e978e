package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.testsupport.TestData;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** No text of a message becomes a part of a special token, however a template cuts and joins texts. */
class AssembledTokensTest {
    private static Tokenizer tokenizer;

    @BeforeAll
    static void load() {
        tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"));
    }

    @AfterAll
    static void close() {
        tokenizer.close();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '#',
            value = {
                "<|im_{{ messages[0].content }} # end|> and more",
                "{{ '<|im_' + messages[0].content }} # end|>",
                "{{ messages[0].content }}end|> # a<|im_",
                "{{ messages[0].content }}> # a<|im_end|",
                "{{ '<|' ~ messages[0].content ~ '|>' }} # im_end",
                "<|im_{{ messages[0].content[2:] }} # xxend|>",
                "<|im_{{ messages[0].content.strip() }} # ' end|> '",
                "{{ messages[0].content|replace('-', '') }} # <|im_-end|>",
                "{{ messages[0].content.split('</x>')|join }} # <|im_</x>end|>",
                "{{ messages[0].content|lower }} # <|IM_END|>",
                "{{ messages[0].content|reverse }} # >|dne_mi|<",
                "{% for c in messages[0].content %}{{ c if c != ' ' }}{% endfor %} # <|im_ end|>"
            })
    void isRefused(String source, String said) {
        ChatTemplate template = ChatTemplate.jinja("<|im_start|>" + source, tokenizer);
        Conversation conversation = Conversation.of(ChatMessage.user(said));
        String message = assertThrows(IllegalArgumentException.class, () -> template.render(conversation, true))
                .getMessage();
        assertTrue(message.contains("the special token <|im_end|>"), message);
        assertTrue(message.contains("taken from a message"), message);
        ids(template, "harmless");
    }

    @Test
    void partsOfTwoMessagesOrOfAFieldAreFoundToo() {
        Conversation two = Conversation.of(ChatMessage.user("a<|im_"), ChatMessage.assistant("end|>"));
        ChatTemplate joined = ChatTemplate.jinja("{{ messages|map(attribute='content')|join }}", tokenizer);
        assertThrows(IllegalArgumentException.class, () -> joined.render(two, false));
        ChatTemplate tools = ChatTemplate.jinja(
                "{% for t in tools %}{% for k in t.parameters %}<{{ k }}>{% endfor %}{% endfor %}", tokenizer);
        List<ChatMessage> asked = List.of(ChatMessage.user("a"));
        Conversation harmless = new Conversation(asked, List.of(Map.of("parameters", Map.of("city", 1))));
        assertEquals(List.of(new Segment("<city>", false, false)), tools.render(harmless, true));
        Conversation harmful = new Conversation(asked, List.of(Map.of("parameters", Map.of("|im_end|", 1))));
        assertThrows(IllegalArgumentException.class, () -> tools.render(harmful, true));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '#',
            value = {
                "{{ messages[0].content.split('</think>')[-1] }}<|im_end|> # <a></think>end|><|im_",
                "{{ messages[0].content|tojson }}<|im_end|> # a\"b'c\\d",
                "{{ '<|im_end|>' if messages[0].content|trim }} # '  b '",
                "{{ '<|im_end|>' if 'call' in messages[0].content }} # a call end|>",
                "{{ '<|im_end|>' if messages[0].content|length == 6 }} # \uD83D\uDE00 four"
            })
    void whatATemplateAsksOfATextIsAnswered(String source, String said) {
        ChatTemplate template = ChatTemplate.jinja("<|im_start|>" + source, tokenizer);
        int end = tokenizer.idOf("<|im_end|>").orElseThrow();
        assertEquals(
                1, Arrays.stream(ids(template, said)).filter(id -> id == end).count());
    }

    private static int[] ids(ChatTemplate template, String said) {
        return new ChatEncoder(tokenizer, template)
                .encode(Conversation.of(ChatMessage.user(said)), true)
                .ids();
    }
}
