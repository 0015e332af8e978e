package dev.finetune4j.core.text.jinja.python;

import java.math.BigInteger;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Text with <a href="https://docs.python.org/3/library/stdtypes.html#printf-style-string-formatting">percent signs</a>
 * for values.
 */
public final class PercentFormat {
    private final String format;
    private final @Nullable Object values;
    private final List<@Nullable Object> ordered;
    private final StringBuilder text = new StringBuilder();
    private int at;
    private int used;

    private PercentFormat(String format, @Nullable Object values) {
        this.format = format;
        this.values = values;
        this.ordered = values instanceof Tuple tuple ? tuple.items() : Collections.singletonList(values);
    }

    public static String format(String format, @Nullable Object values) {
        PercentFormat formatter = new PercentFormat(format, values);
        while (formatter.at < format.length()) {
            char c = format.charAt(formatter.at++);
            if (c == '%') {
                formatter.code();
            } else {
                formatter.text.append(c);
            }
        }
        boolean lookedUp = values instanceof Dict
                || values instanceof List
                || values instanceof Range
                || values instanceof Undefined;
        if (!lookedUp && formatter.used < formatter.ordered.size()) {
            throw new TemplateError("not all arguments converted during string formatting");
        }
        return formatter.text.toString();
    }

    private void code() {
        Budget.charge(2);
        Object named = null;
        boolean isNamed = at < format.length() && format.charAt(at) == '(';
        if (isNamed) {
            named = lookUp(key());
        }
        String flags = "";
        while ("#0- +".indexOf(peek()) >= 0) {
            flags += flags.indexOf(format.charAt(at)) < 0 ? Character.toString(format.charAt(at)) : "";
            at++;
        }
        int width = number();
        if (width < 0) {
            width = -width;
            flags += "-";
        }
        int precision = -1;
        if (peek() == '.') {
            at++;
            precision = Math.max(0, number());
        }
        while ("hlL".indexOf(peek()) >= 0) {
            at++;
        }
        char code = peek();
        at++;
        if (code == '%') {
            text.append('%');
            return;
        }
        write(code, isNamed ? named : next(), flags, width, precision);
    }

    private char peek() {
        if (at >= format.length()) {
            throw new TemplateError("incomplete format");
        }
        return format.charAt(at);
    }

    private String key() {
        int depth = 1;
        int start = ++at;
        while (depth > 0) {
            char c = peek();
            depth += c == '(' ? 1 : c == ')' ? -1 : 0;
            at++;
        }
        return format.substring(start, at - 1);
    }

    private @Nullable Object lookUp(String key) {
        if (!(values instanceof Dict dict)) {
            throw Values.undefinedOr(values, null, () -> "format requires a mapping");
        }
        if (!dict.has(key)) {
            throw new TemplateError("the format names '" + key + "', which the dict does not have");
        }
        return dict.get(key, null);
    }

    private @Nullable Object next() {
        if (used >= ordered.size()) {
            throw new TemplateError("not enough arguments for format string");
        }
        return ordered.get(used++);
    }

    private int number() {
        if (peek() == '*') {
            at++;
            int given = Values.index(next());
            Budget.checkLength(Math.abs((long) given));
            return given;
        }
        int number = 0;
        while (peek() >= '0' && peek() <= '9') {
            number = number * 10 + Character.digit(format.charAt(at++), 10);
            Budget.checkLength(number);
        }
        return number;
    }

    private void write(char code, @Nullable Object value, String flags, int width, int precision) {
        String piece = switch (code) {
            case 's' -> cut(Values.str(value), precision);
            case 'r' -> cut(Values.repr(value), precision);
            case 'a' -> cut(ascii(Values.repr(value)), precision);
            case 'c' -> character(value);
            case 'd', 'i', 'u' -> whole(code, value, flags, width, precision, 10);
            case 'o' -> whole(code, value, flags, width, precision, 8);
            case 'x', 'X' -> whole(code, value, flags, width, precision, 16);
            case 'e', 'E', 'f', 'F', 'g', 'G' -> real(code, value, flags, width, precision);
            default -> throw new TemplateError("unsupported format character '" + code + "'");
        };
        StringMethods.Align align = flags.contains("-") ? StringMethods.Align.LEFT : StringMethods.Align.RIGHT;
        text.append(StringMethods.padded(piece, width, ' ', align));
        Budget.checkLength(text.length());
    }

    private static String cut(String text, int precision) {
        return precision >= 0 && precision < PythonText.length(text) ? PythonText.piece(text, 0, precision) : text;
    }

    /** With escapes for what is not ASCII, as {@code ascii} of a value. */
    public static String ascii(String text) {
        StringBuilder ascii = new StringBuilder();
        text.codePoints().forEach(c -> {
            if (c < 128) {
                ascii.append((char) c);
            } else {
                ascii.append(PythonText.asciiEscape(c));
            }
        });
        return ascii.toString();
    }

    public static String character(@Nullable Object value) {
        if (value instanceof String text && PythonText.length(text) == 1) {
            return text;
        }
        if (Numbers.isWhole(value) && Character.isValidCodePoint(Values.index(value))) {
            return Character.toString(Values.index(value));
        }
        throw Values.undefinedOr(value, null, () -> "%c requires int or char");
    }

    private static String whole(char code, @Nullable Object value, String flags, int width, int precision, int radix) {
        boolean fits = radix == 10 ? value != null && Numbers.isNumber(value) : Numbers.isWhole(value);
        if (value == null || !fits) {
            throw Values.undefinedOr(
                    value, null, () -> "%" + code + " format: a number is required, not " + Values.typeName(value));
        }
        BigInteger number = Numbers.big(Numbers.truncate(value));
        String digits = radix == 10 ? Numbers.text(Numbers.narrow(number.abs())) : radixText(number, radix);
        digits = "0".repeat(Math.max(0, precision - digits.length())) + digits;
        String prefix = !flags.contains("#") || radix == 10 ? "" : radix == 8 ? "0o" : "0x";
        String body = code == 'X' ? (prefix + digits).toUpperCase(Locale.ROOT) : prefix + digits;
        return signed(number.signum() < 0, body, prefix.length(), flags, width);
    }

    /** The digits of a number without its sign to a base that is a power of two. */
    public static String radixText(BigInteger number, int radix) {
        Budget.chargeProduct(number.bitLength(), number.bitLength());
        return number.abs().toString(radix);
    }

    private static String real(char code, @Nullable Object value, String flags, int width, int precision) {
        if (value == null || !Numbers.isNumber(value)) {
            throw Values.undefinedOr(value, null, () -> "must be real number, not " + Values.typeName(value));
        }
        double number = Numbers.real(value);
        int digits = precision < 0 ? 6 : precision;
        String text = switch (Character.toLowerCase(code)) {
            case 'e' -> FloatText.scientific(number, digits);
            case 'f' -> FloatText.fixed(number, digits);
            default -> FloatText.general(number, digits, flags.contains("#"), false);
        };
        text = flags.contains("#") ? FloatText.withPoint(text) : text;
        boolean negative = text.startsWith("-");
        String body = negative ? text.substring(1) : text;
        return signed(negative, Character.isUpperCase(code) ? PythonText.upper(body) : body, 0, flags, width);
    }

    private static String signed(boolean negative, String body, int prefix, String flags, int width) {
        String sign = negative ? "-" : flags.contains("+") ? "+" : flags.contains(" ") ? " " : "";
        if (!flags.contains("0") || flags.contains("-")) {
            return sign + body;
        }
        int zeros = Math.max(0, width - sign.length() - body.length());
        return sign + body.substring(0, prefix) + "0".repeat(zeros) + body.substring(prefix);
    }
}
