package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.python.Allowance;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * Finds out which tokens a checkpoint's template writes around messages, from what it writes for some that say next to nothing. All
 * probes share an allowance. Not thread-safe.
 */
final class TemplateProbe {
    /** A character that no template writes by itself. */
    private static final String PROBE = "\u4ece";

    private final CheckpointTemplates templates;
    private final Allowance allowance = new Allowance();

    TemplateProbe(CheckpointTemplates templates) {
        this.templates = templates;
    }

    /** Whether the template took time or room without end. */
    boolean isExhausted() {
        return allowance.isExhausted();
    }

    /** The added token that the template writes right after an answer, if there is one. */
    Optional<String> stopToken() {
        try {
            String text = write(List.of(ChatMessage.user(PROBE), ChatMessage.assistant(PROBE)));
            int end = text.lastIndexOf(PROBE);
            String tail = end < 0 ? "" : text.substring(end + PROBE.length());
            return templates.tokenizer().addedTokenAt(tail.stripLeading());
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    /** The token with which the next turn begins right after an answer, unless it begins a text. */
    Optional<String> nextTurn() {
        Tokenizer tokenizer = templates.tokenizer();
        try {
            String text = write(
                    List.of(ChatMessage.user(PROBE), ChatMessage.assistant(PROBE + PROBE), ChatMessage.user(PROBE)));
            int answer = text.indexOf(PROBE + PROBE);
            String tail = answer < 0 ? "" : text.substring(answer + 2 * PROBE.length());
            return tokenizer
                    .addedTokenAt(tail)
                    .filter(token -> !tokenizer.bosToken().equals(Optional.of(token)));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    /** Whether the template writes a result in a turn of its own if its role is named {@value ObservationForm#ROLE}. */
    boolean writesObservations() {
        try {
            String text = write(
                    List.of(ChatMessage.user(PROBE), ChatMessage.assistant(PROBE), ChatMessage.tool(PROBE + PROBE)));
            int turn = text.lastIndexOf(ObservationForm.TOKEN);
            return turn >= 0 && text.indexOf(PROBE + PROBE, turn) >= 0;
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    /** The added tokens that the template writes between messages, such as those made of a role's name. */
    Set<String> tokensAroundMessages() {
        Set<String> found = new TreeSet<>();
        List<ChatMessage> turns =
                List.of(ChatMessage.user(PROBE), ChatMessage.assistant(PROBE), ChatMessage.user(PROBE));
        List<ChatMessage> withSystem = new ArrayList<>(turns);
        withSystem.add(0, ChatMessage.system(PROBE));
        for (List<ChatMessage> probe : List.of(turns, withSystem)) {
            try {
                found.addAll(templates.tokenizer().writtenTokens().around(PROBE, write(probe)));
            } catch (IllegalArgumentException e) {
                // A template may refuse a system text, or what a probe says; then the source alone tells its tokens.
            }
        }
        return found;
    }

    private String write(List<ChatMessage> messages) {
        return new TemplateRun(templates, new Conversation(messages), CallForm.USUAL, allowance)
                .write(messages.size(), false)
                .text();
    }
}
