package dev.finetune4j.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The kinds of examples: what they may hold, and that a data set treats them alike. */
class ExampleTest {
    private static final Provenance NOWHERE = Provenance.inMemory(0);
    private static final Conversation PROMPT =
            Conversation.of(ChatMessage.system("You are {{name}}."), ChatMessage.user("Who are you?"));
    private static final PreferenceExample PAIR = new PreferenceExample(
            PROMPT, ChatMessage.assistant("I am {{name}}."), ChatMessage.assistant("No idea."), NOWHERE);
    private static final KtoExample JUDGED =
            new KtoExample(PROMPT.with(ChatMessage.assistant("{{name}}")), false, NOWHERE);
    private static final TextExample TEXT = new TextExample("{{name}} was here.", NOWHERE);

    @Test
    void placeholdersAreReplacedInEachKind() {
        Dataset bound = Dataset.of(List.of(PAIR, JUDGED, TEXT)).bind(Map.of("name", "Zed"));
        assertEquals(
                List.of(
                        List.of("You are Zed.", "Who are you?", "I am Zed.", "No idea."),
                        List.of("You are Zed.", "Who are you?", "Zed"),
                        List.of("Zed was here.")),
                bound.examples().stream().map(Example::texts).toList());
        assertEquals(
                List.of(0L, 1L, 2L),
                bound.examples().stream().map(example -> example.where().row()).toList());
    }

    @Test
    void anUnboundPlaceholderIsFoundInEachKind() {
        for (Example example : List.of(PAIR, JUDGED, TEXT)) {
            Fixtures.fails(Dataset.of(List.of(example))::requireReady, "{{name}}", "row 0");
        }
    }

    @Test
    void whatCannotTeachIsRefused() {
        ChatMessage answer = ChatMessage.assistant("a");
        assertThrows(IllegalArgumentException.class, () -> new PreferenceExample(PROMPT, answer, answer, NOWHERE));
        assertThrows(
                IllegalArgumentException.class,
                () -> new PreferenceExample(PROMPT, answer, ChatMessage.assistant(" "), NOWHERE));
        assertThrows(
                IllegalArgumentException.class,
                () -> new PreferenceExample(PROMPT.with(answer), answer, ChatMessage.assistant("b"), NOWHERE));
        assertThrows(IllegalArgumentException.class, () -> new KtoExample(PROMPT, true, NOWHERE));
        assertThrows(IllegalArgumentException.class, () -> new TextExample(" ", NOWHERE));
    }
}
