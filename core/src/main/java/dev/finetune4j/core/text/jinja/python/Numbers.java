package dev.finetune4j.core.text.jinja.python;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Python's arithmetic. Whole numbers are {@link Long} where they fit and {@link BigInteger} where not; {@link Boolean}
 * counts as 0 and 1; the others are {@link Double}.
 */
public final class Numbers {
    /** Whole numbers beyond this many bits are refused; Python refuses to write much smaller ones. */
    private static final int MAX_BITS = 100_000;

    /** As many digits as Python writes of a whole number. */
    private static final int MAX_DIGITS = 4300;

    private static final int BITS_PER_DIGIT = 4;

    /** Steps for a number as a decimal with all its digits. */
    private static final int EXACT_STEPS = 200;

    private static final BigInteger MIN_LONG = BigInteger.valueOf(Long.MIN_VALUE);
    private static final BigInteger MAX_LONG = BigInteger.valueOf(Long.MAX_VALUE);
    private static final Pattern FLOAT =
            Pattern.compile("[-+]?(?:\\d++(?:\\.\\d*+)?|\\.\\d++)(?:[eE][-+]?\\d++)?|[-+]?(?i:inf|infinity|nan)");
    private static final Pattern SCATTERED_UNDERSCORES = Pattern.compile("(?<!\\d)_|_(?!\\d)");

    private Numbers() {}

    public static boolean isNumber(@Nullable Object value) {
        return isWhole(value) || value instanceof Double;
    }

    /** Whether the value is an {@code int}, of which {@code bool} is a kind. */
    public static boolean isWhole(@Nullable Object value) {
        return value instanceof Long || value instanceof BigInteger || value instanceof Boolean;
    }

    public static BigInteger big(Object whole) {
        if (whole instanceof BigInteger big) {
            return big;
        }
        return BigInteger.valueOf(whole instanceof Boolean bit ? (bit ? 1 : 0) : (Long) whole);
    }

    public static Object narrow(BigInteger big) {
        if (big.compareTo(MIN_LONG) >= 0 && big.compareTo(MAX_LONG) <= 0) {
            return big.longValueExact();
        }
        Budget.charge(big.bitLength() / Integer.SIZE);
        if (big.bitLength() > MAX_BITS) {
            throw new TemplateError("a whole number has grown beyond " + MAX_BITS + " bits");
        }
        return big;
    }

    public static double real(Object number) {
        if (number instanceof Double real) {
            return real;
        }
        double real = big(number).doubleValue();
        if (Double.isInfinite(real)) {
            throw new TemplateError("the whole number is too large to convert to float");
        }
        return real;
    }

    /** Compares two numbers exactly. Not for NaN. */
    public static int compare(Object left, Object right) {
        if (left instanceof Long a && right instanceof Long b) {
            return Long.compare(a, b);
        }
        if (left instanceof Double a && right instanceof Double b) {
            return a < b ? -1 : a > b ? 1 : 0;
        }
        if (left instanceof Double a && a.isInfinite()) {
            return a > 0 ? 1 : -1;
        }
        if (right instanceof Double b && b.isInfinite()) {
            return b > 0 ? -1 : 1;
        }
        return exact(left).compareTo(exact(right));
    }

    private static BigDecimal exact(Object number) {
        Budget.charge(number instanceof Long ? 4 : number instanceof BigInteger big ? big.bitLength() : EXACT_STEPS);
        return number instanceof Double real ? new BigDecimal(real) : new BigDecimal(big(number));
    }

    public static boolean isNan(Object number) {
        return number instanceof Double real && real.isNaN();
    }

    public static Object add(Object left, Object right) {
        return anyReal(left, right)
                ? real(left) + real(right)
                : narrow(big(left).add(big(right)));
    }

    public static Object subtract(Object left, Object right) {
        return anyReal(left, right)
                ? real(left) - real(right)
                : narrow(big(left).subtract(big(right)));
    }

    public static Object multiply(Object left, Object right) {
        return anyReal(left, right)
                ? real(left) * real(right)
                : narrow(paid(left, right).multiply(big(right)));
    }

    public static Object negate(Object operand) {
        return operand instanceof Double real
                ? (Object) (-real)
                : narrow(big(operand).negate());
    }

    /** The first number, once an operation is paid for whose time grows with the lengths of both. */
    private static BigInteger paid(Object left, Object right) {
        BigInteger first = big(left);
        Budget.chargeProduct(first.bitLength() + 2000, big(right).bitLength());
        return first;
    }

    public static Object divide(Object left, Object right) {
        checkDivisor(right, "division");
        if (anyReal(left, right)) {
            return real(left) / real(right);
        }
        if (big(left).signum() == 0) {
            return big(right).signum() < 0 ? -0.0 : 0.0;
        }
        double quotient = new BigDecimal(paid(left, right))
                .divide(new BigDecimal(big(right)), new MathContext(60))
                .doubleValue();
        if (Double.isInfinite(quotient)) {
            throw new TemplateError("the quotient of two whole numbers is too large for a float");
        }
        return quotient;
    }

    public static Object floorDivide(Object left, Object right) {
        checkDivisor(right, "integer division or modulo");
        if (anyReal(left, right)) {
            return realFloorDivide(real(left), real(right));
        }
        BigInteger[] parts = paid(left, right).divideAndRemainder(big(right));
        boolean down = parts[1].signum() != 0 && parts[1].signum() != big(right).signum();
        return narrow(down ? parts[0].subtract(BigInteger.ONE) : parts[0]);
    }

    private static double realFloorDivide(double left, double right) {
        double remainder = left % right;
        double quotient = (left - remainder) / right;
        if (remainder != 0 && (right < 0) != (remainder < 0)) {
            quotient -= 1;
        }
        if (quotient == 0) {
            return Math.copySign(0.0, left / right);
        }
        double floor = Math.floor(quotient);
        return quotient - floor > 0.5 ? floor + 1 : floor;
    }

    public static Object remainder(Object left, Object right) {
        checkDivisor(right, anyReal(left, right) ? "float modulo" : "integer division or modulo");
        if (anyReal(left, right)) {
            double divisor = real(right);
            double remainder = real(left) % divisor;
            if (remainder == 0) {
                return Math.copySign(0.0, divisor);
            }
            return (divisor < 0) == (remainder < 0) ? remainder : remainder + divisor;
        }
        BigInteger remainder = paid(left, right).remainder(big(right));
        boolean wrongSign =
                remainder.signum() != 0 && remainder.signum() != big(right).signum();
        return narrow(wrongSign ? remainder.add(big(right)) : remainder);
    }

    private static void checkDivisor(Object divisor, String what) {
        if (compare(divisor, 0L) == 0 && !isNan(divisor)) {
            throw new TemplateError(what + " by zero");
        }
    }

    public static Object power(Object base, Object exponent) {
        if (!anyReal(base, exponent)) {
            BigInteger power = big(exponent);
            if (power.signum() >= 0) {
                return wholePower(big(base), power);
            }
            if (big(base).signum() == 0) {
                throw new TemplateError("0 cannot be raised to a negative power");
            }
        }
        double left = real(base);
        double right = real(exponent);
        if (left == 0 && right < 0) {
            throw new TemplateError("0 cannot be raised to a negative power");
        }
        if (left < 0 && !Double.isInfinite(left) && !Double.isInfinite(right) && right != Math.rint(right)) {
            throw new TemplateError("a negative number to a fractional power is complex, which is not supported");
        }
        // Python follows C here, for which 1 to any power is 1, and -1 to an infinite one too.
        if (left == 1 || (left == -1 && Double.isInfinite(right))) {
            return 1.0;
        }
        double power = Math.pow(left, right);
        if (Double.isInfinite(power) && !Double.isInfinite(left) && !Double.isInfinite(right)) {
            throw new TemplateError("the power is too large for a float");
        }
        return power;
    }

    private static Object wholePower(BigInteger base, BigInteger power) {
        boolean small = base.bitLength() <= 1 && base.abs().bitLength() <= 1;
        if (!small && (power.bitLength() > 31 || (long) base.bitLength() * power.intValue() > 2L * MAX_BITS)) {
            throw new TemplateError("a whole number has grown beyond " + MAX_BITS + " bits");
        }
        if (small) {
            boolean negative = base.signum() < 0 && power.testBit(0);
            return power.signum() == 0 ? 1L : negative ? -1L : (long) base.abs().intValue();
        }
        int bits = base.bitLength() * power.intValueExact();
        Budget.chargeProduct(bits, bits);
        return narrow(base.pow(power.intValueExact()));
    }

    private static boolean anyReal(Object left, Object right) {
        return left instanceof Double || right instanceof Double;
    }

    /** As {@code str} of a number other than a bool. */
    public static String text(Object number) {
        if (number instanceof Double real) {
            return FloatText.repr(real);
        }
        boolean surelyTooLong = number instanceof BigInteger big && big.bitLength() > BITS_PER_DIGIT * MAX_DIGITS;
        if (number instanceof BigInteger big && !surelyTooLong) {
            Budget.chargeProduct(big.bitLength(), 16 * big.bitLength());
        }
        String text = surelyTooLong ? "" : number.toString();
        if (surelyTooLong || text.length() - (text.startsWith("-") ? 1 : 0) > MAX_DIGITS) {
            throw new TemplateError("a whole number has more than the " + MAX_DIGITS + " digits that are written");
        }
        return text;
    }

    /** What a literal of the language stands for. */
    public static Object parseLiteral(String literal) {
        String digits = literal.replace("_", "");
        int base = digits.length() < 2
                ? 10
                : switch (Character.toLowerCase(digits.charAt(1))) {
                    case 'x' -> 16;
                    case 'o' -> 8;
                    case 'b' -> 2;
                    default -> 10;
                };
        String number = base == 10 ? digits : digits.substring(2);
        if (number.length() > MAX_DIGITS) {
            throw new TemplateError("a whole number has more than " + MAX_DIGITS + " digits");
        }
        return narrow(new BigInteger(number, base));
    }

    /** As {@code int(text, base)}; null if the text is no whole number. */
    public static @Nullable Object parseWhole(String text, int base) {
        String body = asciiDigits(text);
        boolean negative = body.startsWith("-");
        if (negative || body.startsWith("+")) {
            body = body.substring(1);
        }
        int radix = base;
        String prefix = body.length() > 2 ? PythonText.lower(body.substring(0, 2)) : "";
        int prefixed = prefix.equals("0x") ? 16 : prefix.equals("0o") ? 8 : prefix.equals("0b") ? 2 : 0;
        if (prefixed != 0 && (base == prefixed || base == 0)) {
            radix = prefixed;
            body = body.substring(body.charAt(2) == '_' ? 3 : 2);
        } else if (base == 0) {
            radix = 10;
            if (body.length() > 1 && body.charAt(0) == '0' && !body.chars().allMatch(c -> c == '0' || c == '_')) {
                return null;
            }
        }
        if (!isDigits(body, radix)) {
            return null;
        }
        String digits = body.replace("_", "");
        if (digits.length() > MAX_DIGITS && Integer.bitCount(radix) != 1) {
            return null;
        }
        if (digits.length() > MAX_BITS) {
            throw new TemplateError("a whole number has grown beyond " + MAX_BITS + " bits");
        }
        Budget.charge((long) digits.length() * digits.length() / 512);
        BigInteger whole = new BigInteger(digits, radix);
        return narrow(negative ? whole.negate() : whole);
    }

    private static boolean isDigits(String body, int radix) {
        if (body.isEmpty() || body.startsWith("_") || body.endsWith("_") || body.contains("__")) {
            return false;
        }
        return body.chars().allMatch(c -> c == '_' || (c < 128 && Character.digit(c, radix) >= 0));
    }

    /** As {@code float(text)}; null if the text is no number. */
    public static @Nullable Double parseReal(String text) {
        String body = asciiDigits(text);
        if (body.indexOf('_') >= 0) {
            if (SCATTERED_UNDERSCORES.matcher(body).find()) {
                return null;
            }
            body = body.replace("_", "");
        }
        if (!FLOAT.matcher(body).matches()) {
            return null;
        }
        String lower = PythonText.lower(body);
        if (lower.endsWith("nan")) {
            return Double.NaN;
        }
        if (lower.contains("inf")) {
            return lower.startsWith("-") ? Double.NEGATIVE_INFINITY : Double.POSITIVE_INFINITY;
        }
        return Double.parseDouble(body);
    }

    private static String asciiDigits(String text) {
        StringBuilder body = new StringBuilder();
        Budget.charge(2L * text.length());
        PythonText.stripTrailing(PythonText.stripLeading(text)).codePoints().forEach(c -> {
            int digit = Character.getType(c) == Character.DECIMAL_DIGIT_NUMBER ? Character.digit(c, 10) : -1;
            body.appendCodePoint(digit >= 0 ? '0' + digit : c);
        });
        return body.toString();
    }

    /** As {@code int(number)}: without what stands after the point. */
    public static Object truncate(Object number) {
        if (!(number instanceof Double real)) {
            return narrow(big(number));
        }
        if (real.isNaN() || real.isInfinite()) {
            throw new TemplateError("cannot convert float " + (real.isNaN() ? "NaN" : "infinity") + " to integer");
        }
        if (Math.abs(real) < 1L << 62) {
            return real.longValue();
        }
        Budget.charge(EXACT_STEPS);
        return narrow(new BigDecimal(real).toBigInteger());
    }

    /** As {@code round(number, digits)}; without digits a whole number. */
    public static Object round(Object number, @Nullable Integer digits) {
        if (!(number instanceof Double real)) {
            if (digits == null || digits >= 0) {
                return narrow(big(number));
            }
            Budget.chargeProduct(big(number).bitLength() + 20_000, big(number).bitLength() + 320);
            return narrow(new BigDecimal(big(number))
                    .setScale(Math.max(digits, -MAX_DIGITS), RoundingMode.HALF_EVEN)
                    .toBigInteger());
        }
        if (digits == null) {
            Object checked = truncate(real);
            return real == Math.rint(real) ? checked : truncate(Math.rint(real));
        }
        if (real.isNaN() || real.isInfinite() || digits > 400) {
            return real;
        }
        Budget.charge(EXACT_STEPS);
        double rounded = new BigDecimal(real)
                .setScale(Math.max(digits, -400), RoundingMode.HALF_EVEN)
                .doubleValue();
        return Math.copySign(rounded, real);
    }
}
