package dev.finetune4j.core.text.jinja.python;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import org.jspecify.annotations.Nullable;

/**
 * A float as Python writes it: the fewest digits that give the same float again, with an exponent where the point would
 * stand more than 16 places away.
 */
public final class FloatText {
    private static final int MAX_PRECISION = 2000;
    /** Steps for the search for the shortest decimal, and for the digits of a float. */
    private static final int SHORTEST_STEPS = 8_000;

    private static final int DIGIT_STEPS = 300;

    private FloatText() {}

    public static String repr(double value) {
        if (Double.isNaN(value)) {
            return "nan";
        }
        if (Double.isInfinite(value)) {
            return value > 0 ? "inf" : "-inf";
        }
        if (value == 0) {
            return 1 / value > 0 ? "0.0" : "-0.0";
        }
        BigDecimal shortest = shortest(Math.abs(value)).stripTrailingZeros();
        String digits = shortest.unscaledValue().toString();
        int exponent = digits.length() - 1 - shortest.scale();
        return (value < 0 ? "-" : "") + layout(digits, exponent);
    }

    private static String layout(String digits, int exponent) {
        return exponent < -4 || exponent >= 16 ? withExponent(digits, exponent) : plain(digits, exponent, true);
    }

    /** The decimal of the fewest digits that is read as the given positive float; the nearest of several. */
    private static BigDecimal shortest(double value) {
        // Decimals of up to 15 digits all give different floats, so there is no shorter one.
        BigDecimal usual = new BigDecimal(Double.toString(value)).stripTrailingZeros();
        if (usual.precision() <= 15 && value >= Double.MIN_NORMAL) {
            return usual;
        }
        Budget.charge(SHORTEST_STEPS);
        BigDecimal exact = new BigDecimal(value);
        for (int digits = 1; digits < 17; digits++) {
            BigDecimal below = exact.round(new MathContext(digits, RoundingMode.DOWN));
            BigDecimal above = exact.round(new MathContext(digits, RoundingMode.UP));
            boolean lower = below.doubleValue() == value;
            boolean upper = above.doubleValue() == value;
            if (lower && upper) {
                return exact.round(new MathContext(digits, RoundingMode.HALF_EVEN));
            }
            if (lower || upper) {
                return lower ? below : above;
            }
        }
        return exact.round(new MathContext(17, RoundingMode.HALF_EVEN));
    }

    /** With so many digits after the point. */
    public static String fixed(double value, int precision) {
        String special = special(value);
        if (special != null) {
            return special;
        }
        BigDecimal rounded = new BigDecimal(Math.abs(value)).setScale(checked(precision), RoundingMode.HALF_EVEN);
        return signed(value, rounded.toPlainString());
    }

    /** With an exponent, and so many digits after the point. */
    public static String scientific(double value, int precision) {
        String special = special(value);
        if (special != null) {
            return special;
        }
        Digits digits = digits(value, checked(precision) + 1);
        return signed(value, withExponent(digits.text(), digits.exponent()));
    }

    /**
     * With so many digits in all, and an exponent where the number is very large or small.
     *
     * @param keepZeros whether zeros at the end stay
     * @param likeRepr whether a number without exponent always shows a digit after the point
     */
    public static String general(double value, int precision, boolean keepZeros, boolean likeRepr) {
        String special = special(value);
        if (special != null) {
            return special;
        }
        int count = Math.max(1, checked(precision));
        Digits digits = digits(value, count);
        String text = digits.text();
        if (!keepZeros) {
            int end = text.length();
            while (end > 0 && text.charAt(end - 1) == '0') {
                end--;
            }
            text = text.substring(0, end);
            text = text.isEmpty() ? "0" : text;
        }
        int exponent = digits.exponent();
        if (exponent < -4 || exponent >= count - (likeRepr ? 1 : 0)) {
            return signed(value, withExponent(text, exponent));
        }
        return signed(value, plain(text, exponent, likeRepr));
    }

    /** With a point even where no digit follows it. */
    public static String withPoint(String text) {
        int end = text.indexOf('e') < 0 ? text.length() : text.indexOf('e');
        boolean bare = text.indexOf('.') < 0 && text.indexOf('n') < 0;
        return bare ? text.substring(0, end) + "." + text.substring(end) : text;
    }

    private record Digits(String text, int exponent) {}

    private static Digits digits(double value, int count) {
        if (value == 0) {
            return new Digits("0".repeat(count), 0);
        }
        BigDecimal rounded = new BigDecimal(Math.abs(value)).round(new MathContext(count, RoundingMode.HALF_EVEN));
        String text = rounded.unscaledValue().toString();
        int exponent = text.length() - 1 - rounded.scale();
        return new Digits(text.length() < count ? text + "0".repeat(count - text.length()) : text, exponent);
    }

    private static String plain(String digits, int exponent, boolean likeRepr) {
        if (exponent < 0) {
            return "0." + "0".repeat(-exponent - 1) + digits;
        }
        if (digits.length() <= exponent + 1) {
            return digits + "0".repeat(exponent + 1 - digits.length()) + (likeRepr ? ".0" : "");
        }
        return digits.substring(0, exponent + 1) + "." + digits.substring(exponent + 1);
    }

    private static String withExponent(String digits, int exponent) {
        String fraction = digits.length() > 1 ? "." + digits.substring(1) : "";
        String power = Integer.toString(Math.abs(exponent));
        return digits.charAt(0) + fraction + "e" + (exponent < 0 ? "-" : "+") + (power.length() < 2 ? "0" : "") + power;
    }

    private static @Nullable String special(double value) {
        return Double.isNaN(value) || Double.isInfinite(value) ? repr(value) : null;
    }

    private static String signed(double value, String text) {
        return (value < 0 || (value == 0 && 1 / value < 0) ? "-" : "") + text;
    }

    private static int checked(int precision) {
        Budget.charge(DIGIT_STEPS + (long) precision);
        if (precision < 0 || precision > MAX_PRECISION) {
            throw new TemplateError(
                    "a precision of " + precision + " digits is not supported; the most is " + MAX_PRECISION);
        }
        return precision;
    }
}
