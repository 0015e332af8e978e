package dev.finetune4j.core.grammar;

import static dev.finetune4j.core.grammar.Rule.literal;
import static dev.finetune4j.core.grammar.Rule.sequence;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Locale;
import java.util.function.IntPredicate;

/** A set of Unicode's characters, and how they are written within a JSON string. Immutable. */
final class CodePoints {
    /** The last one that takes so many bytes in UTF-8. */
    private static final int[] LAST_OF_LENGTH = {0x7f, 0x7ff, 0xffff, Character.MAX_CODE_POINT};

    private static final int BLANK = ' ';
    private static final String SHORT_ESCAPES = "\b\t\n\f\r\"\\";
    private static final String SHORT_LETTERS = "btnfr\"\\";

    static final CodePoints NONE = new CodePoints(new BitSet());
    /** All but the halves of surrogate pairs. */
    static final CodePoints ALL = range(0, Character.MAX_CODE_POINT);

    private final BitSet members;

    private CodePoints(BitSet members) {
        this.members = members;
    }

    static CodePoints range(int first, int last) {
        BitSet members = new BitSet();
        members.set(first, last + 1);
        members.clear(Character.MIN_SURROGATE, Character.MAX_SURROGATE + 1);
        return new CodePoints(members);
    }

    static CodePoints of(String characters) {
        BitSet members = new BitSet();
        characters.codePoints().forEach(members::set);
        return new CodePoints(members);
    }

    static CodePoints where(IntPredicate condition) {
        BitSet members = new BitSet();
        for (int point = 0; point <= Character.MAX_CODE_POINT; point++) {
            if (condition.test(point) && !isSurrogate(point)) {
                members.set(point);
            }
        }
        return new CodePoints(members);
    }

    private static boolean isSurrogate(int point) {
        return point >= Character.MIN_SURROGATE && point <= Character.MAX_SURROGATE;
    }

    CodePoints or(CodePoints other) {
        BitSet both = (BitSet) members.clone();
        both.or(other.members);
        return new CodePoints(both);
    }

    CodePoints complement() {
        BitSet rest = (BitSet) ALL.members.clone();
        rest.andNot(members);
        return new CodePoints(rest);
    }

    /** The one that is in it; negative when there are none or several. */
    int only() {
        return members.cardinality() == 1 ? members.nextSetBit(0) : -1;
    }

    /** One of these, within a JSON string: as it is where it can be, else by the shortest escape. */
    Rule inString() {
        List<Rule> ways = new ArrayList<>();
        BitSet raw = (BitSet) members.clone();
        for (int point = 0; point <= '\\'; point++) {
            boolean escaped = point < BLANK || point == '"' || point == '\\';
            if (escaped && members.get(point)) {
                ways.add(escape(point));
                raw.clear(point);
            }
        }
        int first = raw.nextSetBit(0);
        while (first >= 0) {
            int last = raw.nextClearBit(first) - 1;
            addUtf8(first, last, ways);
            first = raw.nextSetBit(last + 1);
        }
        return merged(ways);
    }

    private static Rule escape(int point) {
        int at = SHORT_ESCAPES.indexOf(point);
        return at >= 0
                ? literal("\\" + SHORT_LETTERS.charAt(at))
                : literal(String.format(Locale.ROOT, "\\u%04x", point));
    }

    /** Those of one byte are one rule. */
    private static Rule merged(List<Rule> ways) {
        BitSet bytes = new BitSet();
        List<Rule> rest = new ArrayList<>();
        for (Rule way : ways) {
            if (way instanceof Rule.OneOf one) {
                bytes.or(one.bytes());
            } else {
                rest.add(way);
            }
        }
        if (!bytes.isEmpty()) {
            rest.add(0, new Rule.OneOf(bytes));
        }
        return rest.size() == 1 ? rest.get(0) : new Rule.Choice(rest);
    }

    /** Splits a range until each byte of its characters is from a range of its own. */
    private static void addUtf8(int first, int last, List<Rule> ways) {
        for (int limit : LAST_OF_LENGTH) {
            if (first <= limit && limit < last) {
                addUtf8(first, limit, ways);
                addUtf8(limit + 1, last, ways);
                return;
            }
        }
        byte[] from = new String(Character.toChars(first)).getBytes(StandardCharsets.UTF_8);
        for (int tail = 1; tail < from.length; tail++) {
            int mask = (1 << (6 * tail)) - 1;
            if ((first & ~mask) != (last & ~mask)) {
                if ((first & mask) != 0) {
                    addUtf8(first, first | mask, ways);
                    addUtf8((first | mask) + 1, last, ways);
                    return;
                }
                if ((last & mask) != mask) {
                    addUtf8(first, (last & ~mask) - 1, ways);
                    addUtf8(last & ~mask, last, ways);
                    return;
                }
            }
        }
        byte[] to = new String(Character.toChars(last)).getBytes(StandardCharsets.UTF_8);
        Rule[] bytes = new Rule[from.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = Rule.range(from[i] & 0xff, to[i] & 0xff);
        }
        ways.add(bytes.length == 1 ? bytes[0] : sequence(bytes));
    }
}
