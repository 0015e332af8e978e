package dev.finetune4j.core.grammar;

import static dev.finetune4j.core.grammar.Rule.choice;
import static dev.finetune4j.core.grammar.Rule.literal;
import static dev.finetune4j.core.grammar.Rule.optional;
import static dev.finetune4j.core.grammar.Rule.range;
import static dev.finetune4j.core.grammar.Rule.sequence;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Numbers within bounds, written without exponent. They have so few digits that float64 tells them apart, since readers may compare them
 * as that.
 */
final class NumberRules {
    /** As many digits as float64 keeps apart. */
    private static final int EXACT_DIGITS = 15;

    private static final Rule DIGIT = range('0', '9');
    private static final Rule NOT_ZERO = range('1', '9');

    /**
     * Bounds of a number; null for none.
     *
     * @param strictMin whether the number has to be above the minimum
     * @param strictMax whether it has to be below the maximum
     * @param multipleOf above zero
     */
    private record Bounds(
            @Nullable BigDecimal min,
            boolean strictMin,
            @Nullable BigDecimal max,
            boolean strictMax,
            @Nullable BigDecimal multipleOf) {
        boolean isFree() {
            return min == null && max == null && multipleOf == null;
        }
    }

    private final int integerDigits;
    private final int fractionDigits;

    private NumberRules(int integerDigits, int fractionDigits) {
        this.integerDigits = integerDigits;
        this.fractionDigits = fractionDigits;
    }

    /**
     * The numbers, or integers, of a plain schema.
     *
     * @param report is told a place and what is not supported there
     */
    static Rule of(ObjectNode schema, boolean integer, String place, BiConsumer<String, String> report) {
        BigDecimal min = number(schema, "minimum");
        BigDecimal above = number(schema, "exclusiveMinimum");
        BigDecimal max = number(schema, "maximum");
        BigDecimal below = number(schema, "exclusiveMaximum");
        boolean strictMin = above != null && (min == null || above.compareTo(min) >= 0);
        boolean strictMax = below != null && (max == null || below.compareTo(max) <= 0);
        Bounds bounds = new Bounds(
                strictMin ? above : min, strictMin, strictMax ? below : max, strictMax, number(schema, "multipleOf"));
        if (bounds.isFree()) {
            return integer ? JsonRules.INTEGER : JsonRules.NUMBER;
        }
        try {
            return of(bounds, integer);
        } catch (Automaton.TooLarge e) {
            report.accept(
                    place,
                    "has bounds and \"multipleOf\" that together take more than " + Automaton.MAX_STATES
                            + " states; leave some digits, or \"multipleOf\", out");
            return Rule.NONE;
        }
    }

    private static @Nullable BigDecimal number(ObjectNode schema, String keyword) {
        JsonNode value = schema.get(keyword);
        return value == null ? null : value.decimalValue();
    }

    /**
     * The numbers, or integers, within bounds.
     *
     * @throws Automaton.TooLarge if they have too many digits to be constrained
     */
    private static Rule of(Bounds bounds, boolean integer) throws Automaton.TooLarge {
        int digits = Math.max(digitsOf(bounds.min()), digitsOf(bounds.max()));
        int scale = Math.max(scaleOf(bounds.min()), scaleOf(bounds.max()));
        if (digits + scale > 1000) {
            throw new Automaton.TooLarge();
        }
        int places = scaleOf(bounds.multipleOf());
        int fraction = bounds.multipleOf() == null ? Math.max(Math.max(1, scale), EXACT_DIGITS - digits) : places;
        NumberRules rules = new NumberRules(Math.max(EXACT_DIGITS - places, digits + 1), integer ? 0 : fraction);
        List<Rule> all = new ArrayList<>();
        all.add(sequence(optional(literal("-")), rules.integerFrom(BigInteger.ZERO), rules.fraction()));
        if (bounds.min() != null) {
            all.add(rules.atLeast(bounds.min(), bounds.strictMin()));
        }
        if (bounds.max() != null) {
            all.add(rules.atMost(bounds.max(), bounds.strictMax()));
        }
        if (bounds.multipleOf() != null) {
            all.add(multiples(bounds.multipleOf().stripTrailingZeros()));
        }
        return Automaton.intersection(all);
    }

    private static int digitsOf(@Nullable BigDecimal bound) {
        return bound == null ? 1 : Math.max(1, bound.precision() - bound.scale());
    }

    private static int scaleOf(@Nullable BigDecimal bound) {
        return bound == null ? 0 : Math.max(0, bound.stripTrailingZeros().scale());
    }

    private Rule fraction() {
        return fractionDigits == 0
                ? literal("")
                : optional(sequence(literal("."), new Rule.Repeat(DIGIT, 1, fractionDigits)));
    }

    private Rule atLeast(BigDecimal bound, boolean strict) {
        if (bound.signum() >= 0) {
            // Zero is written without a sign, so that there is one way for it less to be tested.
            return magnitudeFrom(bound, strict);
        }
        return choice(
                magnitudeFrom(BigDecimal.ZERO, false), sequence(literal("-"), magnitudeTo(bound.negate(), strict)));
    }

    private Rule atMost(BigDecimal bound, boolean strict) {
        if (bound.signum() < 0 || (bound.signum() == 0 && strict)) {
            return sequence(literal("-"), magnitudeFrom(bound.negate(), strict));
        }
        return choice(magnitudeTo(bound, strict), sequence(literal("-"), magnitudeFrom(BigDecimal.ZERO, false)));
    }

    /** Texts of numbers from a bound on that is not negative. */
    private Rule magnitudeFrom(BigDecimal bound, boolean strict) {
        BigInteger whole = bound.toBigInteger();
        return choice(
                sequence(integerFrom(whole.add(BigInteger.ONE)), anyFraction()),
                sequence(literal(whole.toString()), fractionFrom(fractionOf(bound), strict)));
    }

    /** Texts of numbers up to a bound that is not negative. */
    private Rule magnitudeTo(BigDecimal bound, boolean strict) {
        BigInteger whole = bound.toBigInteger();
        Rule last = sequence(literal(whole.toString()), fractionTo(fractionOf(bound), strict));
        return whole.signum() == 0
                ? last
                : choice(sequence(integers(BigInteger.ZERO, whole.subtract(BigInteger.ONE)), anyFraction()), last);
    }

    private static String fractionOf(BigDecimal bound) {
        BigDecimal rest = bound.subtract(bound.setScale(0, RoundingMode.DOWN)).stripTrailingZeros();
        return rest.signum() == 0 ? "" : rest.toPlainString().substring(2);
    }

    private static Rule anyFraction() {
        return optional(sequence(literal("."), new Rule.Repeat(DIGIT, 1, -1)));
    }

    /** Point and digits of at least, or more than, a fraction; nothing where that is enough. */
    private static Rule fractionFrom(String bound, boolean strict) {
        if (bound.isEmpty()) {
            return strict
                    ? sequence(
                            literal("."), new Rule.Repeat(literal("0"), 0, -1), NOT_ZERO, new Rule.Repeat(DIGIT, 0, -1))
                    : anyFraction();
        }
        Rule rest = strict
                ? sequence(new Rule.Repeat(literal("0"), 0, -1), NOT_ZERO, new Rule.Repeat(DIGIT, 0, -1))
                : new Rule.Repeat(DIGIT, 0, -1);
        for (int i = bound.length() - 1; i >= 0; i--) {
            char digit = bound.charAt(i);
            Rule equal = sequence(range(digit, digit), rest);
            rest = digit == '9' ? equal : choice(equal, sequence(range(digit + 1, '9'), new Rule.Repeat(DIGIT, 0, -1)));
        }
        return sequence(literal("."), rest);
    }

    /** Point and digits of at most, or less than, a fraction; nothing where that is little enough. */
    private static Rule fractionTo(String bound, boolean strict) {
        if (bound.isEmpty()) {
            return strict ? Rule.NONE : optional(sequence(literal("."), new Rule.Repeat(literal("0"), 1, -1)));
        }
        // What may follow the digits of the bound; before its last digit a text may end, since it is smaller then.
        Rule rest = strict ? Rule.NONE : new Rule.Repeat(literal("0"), 0, -1);
        for (int i = bound.length() - 1; i >= 0; i--) {
            char digit = bound.charAt(i);
            Rule equal = sequence(range(digit, digit), rest);
            Rule here = digit == '0'
                    ? equal
                    : choice(equal, sequence(range('0', digit - 1), new Rule.Repeat(DIGIT, 0, -1)));
            rest = i == 0 ? here : choice(here, literal(""));
        }
        return optional(sequence(literal("."), rest));
    }

    /** Integers of usual length from a bound on. */
    private Rule integerFrom(BigInteger bound) {
        return integers(bound, BigInteger.TEN.pow(integerDigits).subtract(BigInteger.ONE));
    }

    /** Integers from one to another, neither negative. */
    private static Rule integers(BigInteger first, BigInteger last) {
        List<Rule> all = new ArrayList<>();
        String low = first.toString();
        String high = last.toString();
        for (int length = low.length(); length <= high.length(); length++) {
            String from = length == low.length() ? low : "1" + "0".repeat(length - 1);
            String to = length == high.length() ? high : "9".repeat(length);
            if (from.compareTo(to) <= 0) {
                all.add(sameLength(from, to));
            }
        }
        return new Rule.Choice(all);
    }

    private static Rule sameLength(String from, String to) {
        if (from.equals("0".repeat(from.length())) && to.equals("9".repeat(to.length()))) {
            return new Rule.Repeat(DIGIT, from.length(), from.length());
        }
        int rest = from.length() - 1;
        char low = from.charAt(0);
        char high = to.charAt(0);
        if (low == high) {
            return sequence(range(low, low), sameLength(from.substring(1), to.substring(1)));
        }
        List<Rule> all = new ArrayList<>();
        all.add(sequence(range(low, low), sameLength(from.substring(1), "9".repeat(rest))));
        if (low + 1 < high) {
            all.add(sequence(range(low + 1, high - 1), new Rule.Repeat(DIGIT, rest, rest)));
        }
        all.add(sequence(range(high, high), sameLength("0".repeat(rest), to.substring(1))));
        return new Rule.Choice(all);
    }

    /** The texts of numbers that are multiples of one. */
    private static Rule multiples(BigDecimal factor) throws Automaton.TooLarge {
        int places = Math.max(0, factor.scale());
        BigInteger units = factor.movePointRight(places).toBigIntegerExact();
        if (units.multiply(BigInteger.valueOf(places + 2L)).compareTo(BigInteger.valueOf(Automaton.MAX_STATES)) > 0) {
            throw new Automaton.TooLarge();
        }
        return new Multiples(places, units.intValueExact()).rule();
    }

    /**
     * Tells multiples by the remainder of the digits so far. Its states are the start, one behind a sign, and for each remainder one by
     * the number of digits behind the point, and one at the point.
     *
     * @param places as many digits as may stand behind the point
     * @param units the factor, in units of the last of them
     */
    private record Multiples(int places, int units) {
        private static final int FIRST = 2;

        Rule rule() {
            List<int[]> rows = new ArrayList<>();
            boolean[] accepting = new boolean[FIRST + (places + 2) * units];
            for (int state = 0; state < accepting.length; state++) {
                int written = state < FIRST ? 0 : (state - FIRST) / units;
                int remainder = state < FIRST ? 0 : (state - FIRST) % units;
                rows.add(row(state, written, remainder));
                if (state >= FIRST && written <= places) {
                    BigInteger value = BigInteger.TEN.pow(places - written).multiply(BigInteger.valueOf(remainder));
                    accepting[state] = value.mod(BigInteger.valueOf(units)).signum() == 0;
                }
            }
            return Automaton.of(rows, accepting);
        }

        /** @param written digits behind the point; one more than there can be stands for the point itself */
        private int[] row(int state, int written, int remainder) {
            int[] row = new int[256];
            Arrays.fill(row, -1);
            if (state == 0) {
                row['-'] = 1;
            }
            if (state >= FIRST && written == 0 && places > 0) {
                row['.'] = FIRST + (places + 1) * units + remainder;
            }
            int after = written > places ? 1 : written == 0 ? 0 : written + 1;
            for (int digit = 0; digit <= 9 && after <= places; digit++) {
                row['0' + digit] = FIRST + after * units + (int) ((10L * remainder + digit) % units);
            }
            return row;
        }
    }
}
