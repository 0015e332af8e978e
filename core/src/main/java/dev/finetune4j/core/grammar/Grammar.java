package dev.finetune4j.core.grammar;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** A grammar, recognised byte by byte: the states are sets of stacks of rules that are still to be matched. Thread-safe. */
public final class Grammar {
    /** As many states as are kept to be found again. */
    private static final int MAX_STATES = 4096;

    /** Rules that are still to be matched, the next one first; it is a literal or a set of bytes. */
    static final class Stack {
        final Rule head;
        final @Nullable Stack rest;
        private final int hash;

        Stack(Rule head, @Nullable Stack rest) {
            this.head = head;
            this.rest = rest;
            this.hash = 31 * (rest == null ? 1 : rest.hash) + head.hashCode();
        }

        @Override
        public int hashCode() {
            return hash;
        }

        /** Stacks share their lower parts, which are then equal without a look. */
        @Override
        @SuppressWarnings("ReferenceEquality")
        public boolean equals(@Nullable Object other) {
            Stack a = this;
            Stack b = other instanceof Stack stack ? stack : null;
            while (a != b) {
                if (a == null || b == null || a.hash != b.hash || !a.head.equals(b.head)) {
                    return false;
                }
                a = a.rest;
                b = b.rest;
            }
            return true;
        }
    }

    /** The stacks of a state, and whether the text may end in it. */
    record Configuration(Set<Stack> stacks, boolean mayEnd) {}

    private final Map<Configuration, GrammarState> states = new HashMap<>();
    private final int maxStates;
    /** Rules that no text is of, such as those that have to contain themselves. */
    private final Set<Rule> empty;

    private final GrammarState start;

    Grammar(Rule rule) {
        this(rule, MAX_STATES);
    }

    /** @param maxStates as many states as are kept to be found again as the same objects */
    Grammar(Rule rule, int maxStates) {
        this.maxStates = maxStates;
        this.empty = EmptyRules.of(rule);
        List<@Nullable Stack> stacks = new ArrayList<>();
        stacks.add(new Stack(rule, null));
        start = state(stacks);
    }

    /** Whether there is no text of this grammar. */
    boolean isEmpty() {
        return !start.mayEnd() && start.mustEnd();
    }

    /** The state before the first byte. */
    public GrammarState start() {
        return start;
    }

    /** The state of stacks of any rules; null among them means that the text may end. */
    GrammarState state(List<@Nullable Stack> stacks) {
        Set<Stack> ready = new HashSet<>();
        boolean mayEnd = false;
        for (Stack stack : stacks) {
            mayEnd |= expand(stack, ready);
        }
        Configuration configuration = new Configuration(ready, mayEnd);
        synchronized (states) {
            if (states.size() >= maxStates) {
                states.clear();
            }
            return states.computeIfAbsent(configuration, key -> new GrammarState(this, key));
        }
    }

    /** Adds what a stack stands for; says whether the text may end with it. */
    private boolean expand(@Nullable Stack stack, Set<Stack> ready) {
        if (stack == null) {
            return true;
        }
        Rule head = stack.head;
        if (empty.contains(head)) {
            return false;
        }
        if (head instanceof Rule.Sequence sequence) {
            Stack longer = stack.rest;
            for (int i = sequence.rules.size() - 1; i >= 0; i--) {
                longer = new Stack(sequence.rules.get(i), longer);
            }
            return expand(longer, ready);
        }
        if (head instanceof Rule.Choice choice) {
            boolean mayEnd = false;
            for (Rule rule : choice.rules) {
                mayEnd |= expand(new Stack(rule, stack.rest), ready);
            }
            return mayEnd;
        }
        if (head instanceof Rule.Repeat repeat) {
            boolean mayEnd = repeat.min() <= 0 && expand(stack.rest, ready);
            if (repeat.max() != 0 && !empty.contains(repeat.rule())) {
                mayEnd |= expand(new Stack(repeat.rule(), new Stack(repeat.next(), stack.rest)), ready);
            }
            return mayEnd;
        }
        if (head instanceof Rule.Lazy lazy) {
            return expand(new Stack(lazy.get(), stack.rest), ready);
        }
        if (head instanceof Rule.Within within) {
            if (within.automaton().goesOn(within.state())) {
                ready.add(stack);
            }
            return within.automaton().accepts(within.state()) && expand(stack.rest, ready);
        }
        ready.add(stack);
        return false;
    }
}
