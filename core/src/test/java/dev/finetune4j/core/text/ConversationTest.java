package dev.finetune4j.core.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ConversationTest {

    @ParameterizedTest
    @ValueSource(
            strings = {
                "system",
                "user",
                "system user",
                "user assistant user",
                "system user assistant user assistant",
                "user assistant tool assistant user",
                "user assistant tool tool assistant"
            })
    void takesOrdersThatTemplatesCanWrite(String roles) {
        assertEquals(roles.split(" ", -1).length, conversation(roles).messages().size());
    }

    @ParameterizedTest
    @CsvSource({
        "assistant, 0",
        "tool, 0",
        "system system, 1",
        "user system, 1",
        "user user, 1",
        "user assistant assistant, 2",
        "system assistant, 1",
        "user tool, 1",
        "user assistant tool user, 3",
        "user assistant system, 2"
    })
    void refusesOthersAndNamesThePlace(String roles, int place) {
        String message = assertThrows(IllegalArgumentException.class, () -> conversation(roles))
                .getMessage();
        String role = roles.split(" ", -1)[place];
        assertTrue(message.startsWith("message " + place + " (" + role + ")"), message);
    }

    @Test
    void refusesNothing() {
        assertThrows(IllegalArgumentException.class, () -> new Conversation(List.of()));
    }

    @Test
    void growsWithoutChanging() {
        Conversation start = Conversation.of(ChatMessage.system("s"), ChatMessage.user("u"));
        Conversation longer = start.with(ChatMessage.assistant("a"));
        assertEquals(2, start.messages().size());
        assertEquals(ChatMessage.assistant("a"), longer.messages().get(2));
        assertEquals(Optional.of("s"), longer.system());
        assertEquals(Optional.empty(), Conversation.of(ChatMessage.user("u")).system());
    }

    private static Conversation conversation(String roles) {
        return new Conversation(Arrays.stream(roles.split(" ", -1))
                .map(role -> new ChatMessage(Role.valueOf(role.toUpperCase(Locale.ROOT)), "x"))
                .toList());
    }
}
