package dev.finetune4j.core.grammar;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/** A place in a text of a {@link Grammar}. Immutable. */
public final class GrammarState {
    private static final int BYTES = 256;

    private final Grammar grammar;
    private final Grammar.Configuration configuration;
    /** By byte, as far as asked for. */
    private final AtomicReferenceArray<@Nullable Transition> next = new AtomicReferenceArray<>(BYTES);

    /** Where a byte leads; null for nowhere. */
    private record Transition(@Nullable GrammarState to) {}

    GrammarState(Grammar grammar, Grammar.Configuration configuration) {
        this.grammar = grammar;
        this.configuration = configuration;
    }

    /** Whether the text may end here. */
    public boolean mayEnd() {
        return configuration.mayEnd();
    }

    /** Whether the text has to end here. */
    public boolean mustEnd() {
        return configuration.stacks().isEmpty();
    }

    /** The state after another byte, 0 to 255; null when it may not follow. */
    public @Nullable GrammarState after(int value) {
        Transition known = next.get(value);
        if (known == null) {
            known = new Transition(step(value));
            next.set(value, known);
        }
        return known.to();
    }

    /** The state after more bytes; null when they may not follow. */
    public @Nullable GrammarState after(byte[] bytes) {
        GrammarState state = this;
        for (int i = 0; i < bytes.length && state != null; i++) {
            state = state.after(bytes[i] & 0xff);
        }
        return state;
    }

    private @Nullable GrammarState step(int value) {
        List<Grammar.@Nullable Stack> stacks = new ArrayList<>();
        for (Grammar.Stack stack : configuration.stacks()) {
            if (stack.head instanceof Rule.OneOf set && set.contains(value)) {
                stacks.add(stack.rest);
            } else if (stack.head instanceof Rule.Within within) {
                int to = within.automaton().next(within.state(), value);
                if (to >= 0) {
                    stacks.add(new Grammar.Stack(new Rule.Within(within.automaton(), to), stack.rest));
                }
            } else if (stack.head instanceof Rule.Literal literal && (literal.bytes()[literal.at()] & 0xff) == value) {
                boolean last = literal.at() == literal.bytes().length - 1;
                stacks.add(
                        last
                                ? stack.rest
                                : new Grammar.Stack(new Rule.Literal(literal.bytes(), literal.at() + 1), stack.rest));
            }
        }
        return stacks.isEmpty() ? null : grammar.state(stacks);
    }
}
