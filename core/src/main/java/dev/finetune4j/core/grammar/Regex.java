package dev.finetune4j.core.grammar;

import static dev.finetune4j.core.grammar.Rule.sequence;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Makes a rule of a regular expression of <a href="https://262.ecma-international.org/#sec-patterns">ECMA-262</a>, as JSON schemas
 * have them, for the inside of a JSON string. What is not regular (look-around, back references) is refused.
 */
final class Regex {
    /** An expression that is none, or has something that is not supported. */
    static final class Unsupported extends Exception {
        private static final long serialVersionUID = 1;

        Unsupported(String message) {
            super(message);
        }
    }

    /**
     * A part: texts of at least a character, and perhaps the empty one.
     *
     * @param some the rule of the texts that are not empty
     */
    private record Part(Rule some, boolean maybeEmpty) {
        static final Part EMPTY = new Part(Rule.NONE, true);

        Rule whole() {
            return maybeEmpty ? Rule.optional(some) : some;
        }

        Part then(Part next) {
            if (this.equals(EMPTY)) {
                return next;
            }
            Rule longer = sequence(some, next.whole());
            return new Part(maybeEmpty ? Rule.choice(longer, next.some) : longer, maybeEmpty && next.maybeEmpty);
        }

        Part or(Part other) {
            return new Part(Rule.choice(some, other.some), maybeEmpty || other.maybeEmpty);
        }

        /** @param max -1 for any number */
        Part times(int min, int max) {
            if (max == 0) {
                return EMPTY;
            }
            int least = maybeEmpty ? 0 : Math.max(0, min - 1);
            Rule repeated = sequence(some, new Rule.Repeat(some, least, max < 0 ? max : max - 1));
            return new Part(max == 1 ? some : repeated, maybeEmpty || min == 0);
        }
    }

    private static final Pattern COUNT = Pattern.compile("\\{(\\d{1,5})(,(\\d{1,5})?)?}");
    private static final Pattern GROUP_NAME = Pattern.compile("\\(\\?<[\\p{L}_$][\\p{L}\\p{N}_$]*>");
    private static final int MAX_DEPTH = 200;
    private static final int MAX_LENGTH = 1_000;

    private final String text;
    private int at;
    private int depth;

    private Regex(String text) {
        this.text = text;
    }

    /**
     * The texts in which an expression is found.
     *
     * @throws Unsupported saying what of it is not supported
     */
    static Rule found(String expression) throws Unsupported {
        if (expression.length() > MAX_LENGTH) {
            throw new Unsupported("a length of more than " + MAX_LENGTH + " characters");
        }
        Regex regex = new Regex(expression);
        Rule any = new Rule.Repeat(JsonRules.CHARACTER, 0, -1);
        List<Rule> alternatives = new ArrayList<>();
        do {
            boolean fromStart = regex.takes('^');
            Part part = regex.concatenation();
            boolean toEnd = regex.takes('$');
            if (regex.at < expression.length() && regex.peek() != '|') {
                throw new Unsupported(
                        regex.peek() == ')' ? "a ) without its (" : "a ^ or $ within it, rather than at its ends");
            }
            alternatives.add(
                    sequence(fromStart ? Rule.literal("") : any, part.whole(), toEnd ? Rule.literal("") : any));
        } while (regex.takes('|'));
        return alternatives.size() == 1 ? alternatives.get(0) : new Rule.Choice(alternatives);
    }

    private int peek() {
        return at < text.length() ? text.codePointAt(at) : -1;
    }

    private boolean takes(int wanted) {
        boolean there = peek() == wanted;
        at += there ? Character.charCount(wanted) : 0;
        return there;
    }

    private boolean takes(String wanted) {
        boolean there = text.startsWith(wanted, at);
        at += there ? wanted.length() : 0;
        return there;
    }

    private Part alternatives() throws Unsupported {
        if (++depth > MAX_DEPTH) {
            throw new Unsupported("more than " + MAX_DEPTH + " groups within each other");
        }
        Part all = concatenation();
        while (takes('|')) {
            all = all.or(concatenation());
        }
        depth--;
        return all;
    }

    private Part concatenation() throws Unsupported {
        Part all = Part.EMPTY;
        while (at < text.length() && "|)$^".indexOf(peek()) < 0) {
            all = all.then(quantified(atom()));
        }
        return all;
    }

    private Part quantified(Part part) throws Unsupported {
        int min;
        int max;
        Matcher count = COUNT.matcher(text).region(at, text.length());
        if (takes('*')) {
            min = 0;
            max = -1;
        } else if (takes('+')) {
            min = 1;
            max = -1;
        } else if (takes('?')) {
            min = 0;
            max = 1;
        } else if (count.lookingAt()) {
            at = count.end();
            min = Integer.parseInt(count.group(1));
            max = count.group(2) == null ? min : count.group(3) == null ? -1 : Integer.parseInt(count.group(3));
            if (max >= 0 && max < min) {
                throw new Unsupported("a count " + count.group() + " of which the end is before the beginning");
            }
        } else {
            return part;
        }
        takes('?'); // the same texts, found in another order
        if (at < text.length()
                && ("*+?".indexOf(peek()) >= 0
                        || COUNT.matcher(text).region(at, text.length()).lookingAt())) {
            throw new Unsupported("a quantifier behind a quantifier");
        }
        return part.times(min, max);
    }

    private Part atom() throws Unsupported {
        if (takes('(')) {
            at--;
            Matcher name = GROUP_NAME.matcher(text).region(at, text.length());
            if (name.lookingAt()) {
                at = name.end();
            } else if (!takes("(?:")) {
                if (text.startsWith("(?", at)) {
                    throw new Unsupported(
                            "a look-around or a flag (" + text.substring(at, Math.min(at + 4, text.length())) + "…)");
                }
                at++;
            }
            Part inside = alternatives();
            if (!takes(')')) {
                throw new Unsupported(peek() < 0 ? "a ( without its )" : "a ^ or $ within it, rather than at its ends");
            }
            return inside;
        }
        if ("*+?{}".indexOf(peek()) >= 0) {
            throw new Unsupported("a " + Character.toString(peek()) + " with nothing to repeat; write \\"
                    + Character.toString(peek()));
        }
        return new Part(characters().inString(), false);
    }

    private CodePoints characters() throws Unsupported {
        RegexCharacters reader = new RegexCharacters(text, at);
        CodePoints characters = reader.read();
        at = reader.position();
        return characters;
    }
}
