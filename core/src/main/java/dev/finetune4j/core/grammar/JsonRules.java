package dev.finetune4j.core.grammar;

import static dev.finetune4j.core.grammar.Rule.choice;
import static dev.finetune4j.core.grammar.Rule.literal;
import static dev.finetune4j.core.grammar.Rule.optional;
import static dev.finetune4j.core.grammar.Rule.range;
import static dev.finetune4j.core.grammar.Rule.sequence;

import java.util.List;

/**
 * The parts of <a href="https://www.rfc-editor.org/rfc/rfc8259">JSON</a> as rules. White space and digits are bounded, so that no text
 * goes on with them for ever.
 */
final class JsonRules {
    private static final int MAX_INDENT = 40;
    private static final int MAX_DIGITS = 17;

    private static final Rule TAIL = range(0x80, 0xbf);
    private static final Rule HEX = range('0', '9', 'a', 'f', 'A', 'F');
    private static final Rule DIGIT = range('0', '9');

    /** Nothing, a blank, or the beginning of a line. */
    static final Rule SPACE = choice(
            literal(""),
            literal(" "),
            sequence(
                    new Rule.Repeat(literal("\n"), 1, 2), new Rule.Repeat(range(' ', ' ', '\t', '\t'), 0, MAX_INDENT)));

    /** A character within a string: valid UTF-8, or an escape. */
    static final Rule CHARACTER = choice(
            range(' ', '!', '#', '[', ']', 0x7f),
            sequence(range(0xc2, 0xdf), TAIL),
            sequence(range(0xe0, 0xe0), range(0xa0, 0xbf), TAIL),
            sequence(range(0xe1, 0xec, 0xee, 0xef), TAIL, TAIL),
            sequence(range(0xed, 0xed), range(0x80, 0x9f), TAIL),
            sequence(range(0xf0, 0xf0), range(0x90, 0xbf), TAIL, TAIL),
            sequence(range(0xf1, 0xf3), TAIL, TAIL, TAIL),
            sequence(range(0xf4, 0xf4), range(0x80, 0x8f), TAIL, TAIL),
            sequence(
                    literal("\\"),
                    choice(
                            range('"', '"', '\\', '\\', '/', '/', 'b', 'b', 'f', 'f', 'n', 'n', 'r', 'r', 't', 't'),
                            // No half of a surrogate pair: what has one is written as it is.
                            sequence(
                                    literal("u"),
                                    range('0', '9', 'a', 'c', 'A', 'C', 'e', 'f', 'E', 'F'),
                                    HEX,
                                    HEX,
                                    HEX),
                            sequence(literal("u"), range('d', 'd', 'D', 'D'), range('0', '7'), HEX, HEX))));

    static final Rule STRING = string(0, -1);

    static final Rule INTEGER = sequence(
            optional(literal("-")),
            choice(literal("0"), sequence(range('1', '9'), new Rule.Repeat(DIGIT, 0, MAX_DIGITS - 2))));

    static final Rule NUMBER = sequence(
            INTEGER,
            optional(sequence(literal("."), new Rule.Repeat(DIGIT, 1, MAX_DIGITS))),
            optional(sequence(
                    range('e', 'e', 'E', 'E'), optional(range('+', '+', '-', '-')), new Rule.Repeat(DIGIT, 1, 2))));

    static final Rule BOOLEAN = choice(literal("true"), literal("false"));
    static final Rule NULL = literal("null");

    /** Any value. */
    static final Rule VALUE = new Rule.Lazy(
            () -> choice(STRING, NUMBER, BOOLEAN, NULL, object(JsonRules.VALUE), array(JsonRules.VALUE, 0, -1)));

    /** Any object. */
    static final Rule OBJECT = object(VALUE);

    private JsonRules() {}

    /** A string of so many characters; -1 for any number. */
    static Rule string(int min, int max) {
        return sequence(literal("\""), new Rule.Repeat(CHARACTER, min, max), literal("\""));
    }

    /** An object of any names. */
    static Rule object(Rule value) {
        Rule field = sequence(STRING, SPACE, literal(":"), SPACE, value);
        return sequence(literal("{"), SPACE, optional(sequence(list(field, 1, -1), SPACE)), literal("}"));
    }

    /** An array of so many items; -1 for any number. */
    static Rule array(Rule item, int min, int max) {
        if (max == 0) {
            return sequence(literal("["), SPACE, literal("]"));
        }
        Rule some = sequence(list(item, Math.max(1, min), max), SPACE);
        return sequence(literal("["), SPACE, min == 0 ? optional(some) : some, literal("]"));
    }

    /**
     * An array whose first items have rules of their own.
     *
     * @param first as many as there may be of them at most
     * @param most of all items; -1 for any number
     */
    static Rule array(List<Rule> first, Rule item, int min, int most) {
        int after = first.size();
        Rule rest = new Rule.Repeat(
                sequence(SPACE, literal(","), SPACE, item),
                Math.max(0, min - after),
                most < 0 ? -1 : Math.max(0, most - after));
        for (int i = after - 1; i >= 0; i--) {
            Rule here =
                    i == 0 ? sequence(first.get(i), rest) : sequence(SPACE, literal(","), SPACE, first.get(i), rest);
            rest = i < min ? here : Rule.choice(literal(""), here);
        }
        return sequence(literal("["), SPACE, rest, SPACE, literal("]"));
    }

    private static Rule list(Rule item, int min, int max) {
        return sequence(
                item, new Rule.Repeat(sequence(SPACE, literal(","), SPACE, item), min - 1, max < 0 ? max : max - 1));
    }
}
