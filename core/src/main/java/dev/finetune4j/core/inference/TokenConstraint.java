package dev.finetune4j.core.inference;

import dev.finetune4j.core.grammar.GrammarState;
import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Keeps a text to a grammar: which tokens may come next. Where the text begins with thoughts, these are free. Serves one thread at
 * a time.
 */
final class TokenConstraint {
    private final Constraints vocabulary;
    private final Function<GrammarState, BitSet> allowed;
    private GrammarState state;
    /** The end of the thoughts so far; null when there are none or they have ended. */
    private @Nullable StringBuilder thoughts;

    /**
     * @param allowed the tokens that may follow in a state
     * @param isThinking whether the text begins in the middle of thoughts
     */
    TokenConstraint(
            Constraints vocabulary, GrammarState start, Function<GrammarState, BitSet> allowed, boolean isThinking) {
        this.vocabulary = vocabulary;
        this.allowed = allowed;
        this.state = start;
        this.thoughts = isThinking ? new StringBuilder() : null;
    }

    /** Whether it says something about the next token. */
    boolean isActive() {
        return thoughts == null;
    }

    /** Whether the text is complete. */
    boolean isComplete() {
        return isActive() && state.mustEnd();
    }

    /**
     * Makes the tokens that may not come next impossible.
     *
     * @param ends tokens that end the text
     */
    void forbid(float[] logits, Set<Integer> ends) {
        if (!isActive()) {
            return;
        }
        BitSet some = allowed.apply(state);
        for (int id = 0; id < logits.length; id++) {
            boolean may = ends.contains(id) ? state.mayEnd() : some.get(id);
            if (!may) {
                logits[id] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    /** Takes up the token that was chosen. */
    void accept(int id) {
        byte[] bytes = vocabulary.bytesOf(id);
        if (thoughts == null) {
            GrammarState next = state.after(bytes);
            if (next == null) {
                throw new IllegalStateException("the token " + id + " may not stand here");
            }
            state = next;
            return;
        }
        // The mark is ASCII, so that it shows in any encoding that has a byte for each character.
        thoughts.append(new String(bytes, StandardCharsets.ISO_8859_1));
        if (thoughts.indexOf(AnswerParser.THINK_END) >= 0) {
            thoughts = null;
        } else if (thoughts.length() > AnswerParser.THINK_END.length()) {
            thoughts.delete(0, thoughts.length() - AnswerParser.THINK_END.length());
        }
    }
}
