package dev.finetune4j.examples.basemodel;

/**
 * One message of a conversation in the corpus.
 *
 * @param role {@code system}, {@code user} or {@code assistant}
 * @param text what is said, never blank
 */
public record ChatTurn(String role, String text) {
    /**
     * Checks the role and the text.
     *
     * @throws IllegalArgumentException when the role is not one of the three, or the text is blank
     */
    public ChatTurn {
        if (!role.equals("system") && !role.equals("user") && !role.equals("assistant")) {
            throw new IllegalArgumentException("Unknown role '" + role + "': expected 'system', 'user' or 'assistant'");
        }
        if (text.isBlank()) {
            throw new IllegalArgumentException("A turn of role '" + role + "' has no text: give it at least one word");
        }
    }

    static ChatTurn system(String text) {
        return new ChatTurn("system", text);
    }

    static ChatTurn user(String text) {
        return new ChatTurn("user", text);
    }

    static ChatTurn assistant(String text) {
        return new ChatTurn("assistant", text);
    }
}
