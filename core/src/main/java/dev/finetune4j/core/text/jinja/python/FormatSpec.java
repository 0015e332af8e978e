package dev.finetune4j.core.text.jinja.python;

import java.math.BigInteger;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What stands after the colon in a replacement field, in Python's <a
 * href="https://docs.python.org/3/library/string.html#format-specification-mini-language">mini-language</a>.
 */
public final class FormatSpec {
    private static final Pattern SPEC = Pattern.compile(
            "(?:(?<fill>.)?(?<align>[<>=^]))?(?<sign>[-+ ])?(?<alternate>#)?(?<zero>0)?(?<width>\\d+)?"
                    + "(?<grouping>[,_])?(?:\\.(?<precision>\\d+))?(?<type>[a-zA-Z%])?",
            Pattern.DOTALL);

    private final Matcher spec;
    private final char type;
    private final int precision;

    private FormatSpec(String spec, @Nullable Object value) {
        this.spec = SPEC.matcher(spec);
        if (!this.spec.matches()) {
            throw new TemplateError(
                    "Invalid format specifier '" + spec + "' for a value of type '" + Values.typeName(value) + "'");
        }
        String letter = this.spec.group("type");
        this.type = letter == null ? 0 : letter.charAt(0);
        this.precision = number("precision", -1);
    }

    public static String format(@Nullable Object value, String spec) {
        if (spec.isEmpty()) {
            return Values.str(value);
        }
        FormatSpec format = new FormatSpec(spec, value);
        if (value instanceof String text) {
            return format.text(text);
        }
        if (value != null && Numbers.isNumber(value)) {
            return value instanceof Double || "eEfFgG%".indexOf(format.type) > 0 || format.type == 'e'
                    ? format.real(Numbers.real(value))
                    : format.whole(Numbers.big(value));
        }
        throw new TemplateError("unsupported format string passed to " + Values.typeName(value) + ".__format__");
    }

    private int number(String part, int otherwise) {
        String digits = spec.group(part);
        if (digits == null) {
            return otherwise;
        }
        if (digits.length() > 8) {
            throw new TemplateError("Too many decimal digits in format string");
        }
        return Integer.parseInt(digits);
    }

    private boolean has(String part) {
        return spec.group(part) != null;
    }

    private TemplateError unknownType(String kind) {
        return new TemplateError("Unknown format code '" + type + "' for object of type '" + kind + "'");
    }

    private String text(String text) {
        if (type != 0 && type != 's') {
            throw unknownType("str");
        }
        if (has("sign") || has("alternate") || has("grouping") || "=".equals(spec.group("align"))) {
            throw new TemplateError("a sign, '#', ',', '_' or '=' is not allowed in the format of a text");
        }
        boolean cut = precision >= 0 && precision < PythonText.length(text);
        return aligned("", cut ? PythonText.piece(text, 0, precision) : text, "<");
    }

    private String whole(BigInteger number) {
        int radix = switch (type) {
            case 0, 'd', 'n' -> 10;
            case 'b' -> 2;
            case 'o' -> 8;
            case 'x', 'X' -> 16;
            case 'c' -> 0;
            default -> throw unknownType("int");
        };
        if (precision >= 0) {
            throw new TemplateError("Precision not allowed in integer format specifier");
        }
        if (radix == 0) {
            return aligned("", PercentFormat.character(Numbers.narrow(number)), "<");
        }
        String digits =
                radix == 10 ? Numbers.text(Numbers.narrow(number.abs())) : PercentFormat.radixText(number, radix);
        String prefix = has("alternate") && radix != 10 ? "0" + type : "";
        return numeric(number.signum() < 0, prefix, type == 'X' ? digits.toUpperCase(Locale.ROOT) : digits, "");
    }

    private String real(double number) {
        int digits = precision < 0 ? 6 : precision;
        boolean keepZeros = has("alternate");
        String text = switch (type) {
            case 0 -> precision < 0 ? FloatText.repr(number) : FloatText.general(number, precision, keepZeros, true);
            case 'e', 'E' -> FloatText.scientific(number, digits);
            case 'f', 'F' -> FloatText.fixed(number, digits);
            case 'g', 'G', 'n' -> FloatText.general(number, digits, keepZeros, false);
            case '%' -> FloatText.fixed(number * 100, digits);
            default -> throw unknownType("float");
        };
        if (has("alternate")) {
            text = FloatText.withPoint(text);
        }
        if (type == 'E' || type == 'F' || type == 'G') {
            text = PythonText.upper(text);
        }
        boolean negative = text.startsWith("-");
        String body = negative ? text.substring(1) : text;
        int split = 0;
        while (split < body.length() && Character.isDigit(body.charAt(split))) {
            split++;
        }
        return numeric(negative, "", body.substring(0, split), body.substring(split) + (type == '%' ? "%" : ""));
    }

    private String numeric(boolean negative, String prefix, String whole, String rest) {
        String wanted = spec.group("sign");
        String sign = negative ? "-" : wanted == null || wanted.equals("-") ? "" : wanted;
        String grouping = spec.group("grouping");
        boolean zeros = has("zero") && !has("align");
        String body = whole;
        if (grouping != null) {
            if (type == 'n' || type == 'c' || (grouping.equals(",") && "boxX".indexOf(type) >= 0)) {
                throw new TemplateError("Cannot specify '" + grouping + "' with '" + type + "'.");
            }
            int size = "boxX".indexOf(type) >= 0 ? 4 : 3;
            int room = number("width", 0) - sign.length() - prefix.length() - rest.length();
            body = grouped(zeros ? withZeros(whole, room, size) : whole, grouping, size);
        }
        return aligned(sign + prefix, body + rest, ">");
    }

    /** With zeros in front, as many as fill the room once the groups are told apart. */
    private static String withZeros(String digits, int room, int size) {
        Budget.checkLength(room);
        int length = Math.max(digits.length(), (int) ((long) room * size / (size + 1)));
        while (length + (length - 1) / size < room) {
            length++;
        }
        return "0".repeat(length - digits.length()) + digits;
    }

    private static String grouped(String digits, String separator, int size) {
        StringBuilder grouped = new StringBuilder();
        for (int i = 0; i < digits.length(); i++) {
            boolean starts = i > 0 && (digits.length() - i) % size == 0;
            grouped.append(starts ? separator : "").append(digits.charAt(i));
        }
        return grouped.toString();
    }

    private String aligned(String head, String body, String usual) {
        String align = spec.group("align");
        String fill = spec.group("fill");
        boolean zeros = has("zero");
        int filler = fill != null ? fill.codePointAt(0) : zeros ? '0' : ' ';
        if (align == null) {
            align = zeros && usual.equals(">") ? "=" : usual;
        }
        int width = number("width", 0);
        return switch (align) {
            case "<" -> StringMethods.padded(head + body, width, filler, StringMethods.Align.LEFT);
            case ">" -> StringMethods.padded(head + body, width, filler, StringMethods.Align.RIGHT);
            case "=" ->
                head + StringMethods.padded(body, width - PythonText.length(head), filler, StringMethods.Align.RIGHT);
            default -> centered(head + body, width, filler);
        };
    }

    /** Unlike {@code str.center}, formats put the odd blank on the right. */
    private static String centered(String text, int width, int filler) {
        int missing = Math.max(0, width - PythonText.length(text));
        Budget.checkLength(width);
        String fill = Character.toString(filler);
        return fill.repeat(missing / 2) + text + fill.repeat(missing - missing / 2);
    }
}
