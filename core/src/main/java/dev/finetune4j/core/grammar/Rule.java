package dev.finetune4j.core.grammar;

import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** What a grammar is made of. Rules are compared by identity but for the rest of a literal and of a repetition. */
sealed interface Rule {
    /** No text at all. */
    Rule NONE = new Choice(List.of());

    /** The bytes of a literal from a place on. */
    record Literal(byte[] bytes, int at) implements Rule {}

    /** One byte of a set. */
    final class OneOf implements Rule {
        private final BitSet bytes;

        OneOf(BitSet bytes) {
            this.bytes = bytes;
        }

        boolean contains(int value) {
            return bytes.get(value);
        }

        /** Not to be changed. */
        BitSet bytes() {
            return bytes;
        }
    }

    /** The texts that lead from a state of an automaton to an end. */
    record Within(Automaton automaton, int state) implements Rule {}

    /** Rules one behind the other. */
    final class Sequence implements Rule {
        final List<Rule> rules;

        Sequence(List<Rule> rules) {
            this.rules = List.copyOf(rules);
        }
    }

    /** One of several rules. */
    final class Choice implements Rule {
        final List<Rule> rules;

        Choice(List<Rule> rules) {
            this.rules = List.copyOf(rules);
        }
    }

    /**
     * A rule that matches at least a byte each time, several times.
     *
     * @param max -1 for any number
     */
    record Repeat(Rule rule, int min, int max) implements Rule {
        /** What is left when it has matched once. */
        Repeat next() {
            return max < 0 && min == 0 ? this : new Repeat(rule, Math.max(0, min - 1), max < 0 ? max : max - 1);
        }
    }

    /** A rule that is made when it is needed first, so that it can contain itself. */
    final class Lazy implements Rule {
        private final Supplier<Rule> maker;
        private volatile @Nullable Rule made;

        Lazy(Supplier<Rule> maker) {
            this.maker = maker;
        }

        Rule get() {
            Rule rule = made;
            if (rule == null) {
                synchronized (this) {
                    if (made == null) {
                        made = maker.get();
                    }
                    rule = made;
                }
            }
            return rule;
        }
    }

    /** The bytes of a text. */
    static Rule literal(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        return bytes.length == 0 ? new Sequence(List.of()) : new Literal(bytes, 0);
    }

    /** One byte of ranges, given as first and last byte of each. */
    static Rule range(int... bounds) {
        BitSet bytes = new BitSet(256);
        for (int i = 0; i < bounds.length; i += 2) {
            bytes.set(bounds[i], bounds[i + 1] + 1);
        }
        return new OneOf(bytes);
    }

    static Rule sequence(Rule... rules) {
        return new Sequence(List.of(rules));
    }

    static Rule choice(Rule... rules) {
        return new Choice(List.of(rules));
    }

    static Rule optional(Rule rule) {
        return new Repeat(rule, 0, 1);
    }
}
