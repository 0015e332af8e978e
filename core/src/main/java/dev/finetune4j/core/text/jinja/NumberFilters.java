package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.Attributes;
import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.Numbers;
import dev.finetune4j.core.text.jinja.python.Operators;
import dev.finetune4j.core.text.jinja.python.PercentFormat;
import dev.finetune4j.core.text.jinja.python.PythonText;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.Undefined;
import dev.finetune4j.core.text.jinja.python.Values;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** Filters that give numbers, or text about them. */
final class NumberFilters {
    private static final List<String> PREFIXES = List.of("k", "M", "G", "T", "P", "E", "Z", "Y");

    private NumberFilters() {}

    static Map<String, Filters.Filter> table() {
        return Map.of(
                "int",
                (evaluator, value, arguments) -> whole(value, arguments),
                "float",
                (evaluator, value, arguments) -> real(value, arguments),
                "abs",
                (evaluator, value, arguments) -> absolute(value, arguments),
                "round",
                (evaluator, value, arguments) -> round(value, arguments),
                "sum",
                NumberFilters::sum,
                "filesizeformat",
                (evaluator, value, arguments) -> fileSize(value, arguments));
    }

    private static @Nullable Object whole(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("int", 0, "default", "base");
        Object otherwise = bound.get("default", 0L);
        int base = bound.whole("base", 10);
        if (Values.isText(value)) {
            String text = Values.text(value);
            boolean validBase = base == 0 || (base >= 2 && base <= 36);
            Object whole = validBase ? Numbers.parseWhole(text, base) : null;
            Double real = whole == null ? Numbers.parseReal(text) : null;
            if (whole != null) {
                return whole;
            }
            return real == null || real.isNaN() || real.isInfinite() ? otherwise : Numbers.truncate(real);
        }
        if (value instanceof Undefined undefined) {
            throw undefined.failure();
        }
        if (value == null || !Numbers.isNumber(value) || Numbers.isNan(value)) {
            return otherwise;
        }
        return Numbers.truncate(value);
    }

    private static @Nullable Object real(@Nullable Object value, CallArguments arguments) {
        Object otherwise = arguments.bind("float", 0, "default").get("default", 0.0);
        if (value instanceof Undefined undefined) {
            throw undefined.failure();
        }
        if (Values.isText(value)) {
            Double real = Numbers.parseReal(Values.text(value));
            return real == null ? otherwise : real;
        }
        return value == null || !Numbers.isNumber(value) ? otherwise : (Object) Numbers.real(value);
    }

    private static Object number(String filter, @Nullable Object value) {
        if (value == null || !Numbers.isNumber(value)) {
            throw Values.undefinedOr(
                    value, null, () -> filter + " needs a number, found '" + Values.typeName(value) + "'");
        }
        return value;
    }

    private static Object absolute(@Nullable Object value, CallArguments arguments) {
        arguments.bindUnnamed("abs", 0);
        Object number = number("abs", value);
        return number instanceof Double real
                ? (Object) Math.abs(real)
                : Numbers.narrow(Numbers.big(number).abs());
    }

    private static Object round(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("round", 0, "precision", "method");
        String method = bound.text("method", "common");
        Object number = number("round", value);
        if (method.equals("common")) {
            Object precision = bound.get("precision", 0L);
            return Numbers.round(number, precision == null ? null : Integer.valueOf(Values.index(precision)));
        }
        if (!method.equals("ceil") && !method.equals("floor")) {
            throw new TemplateError("method must be common, ceil or floor");
        }
        Object scale = Numbers.power(10L, number("round", bound.get("precision", 0L)));
        Object scaled = Numbers.multiply(number, scale);
        if (scaled instanceof Double real) {
            scaled = Numbers.truncate(method.equals("ceil") ? Math.ceil(real) : Math.floor(real));
        }
        return Numbers.divide(scaled, scale);
    }

    private static @Nullable Object sum(Evaluator evaluator, @Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("sum", 0, "attribute", "start");
        Function<@Nullable Object, @Nullable Object> getter = Attributes.getter(bound.get("attribute"), null);
        Object[] sum = {bound.get("start", 0L)};
        if (Values.isText(sum[0])) {
            throw new TemplateError("sum() can't sum strings [use ''.join(seq) instead]");
        }
        Values.each(value, item -> {
            sum[0] = Operators.binary("+", sum[0], getter.apply(item));
            evaluator.budget().spend(Math.max(0, Values.lengthOrMinus(sum[0])));
        });
        return sum[0];
    }

    private static String fileSize(@Nullable Object value, CallArguments arguments) {
        boolean binary = arguments.bind("filesizeformat", 0, "binary").flag("binary");
        Double parsed = Values.isText(value) ? Numbers.parseReal(Values.text(value)) : null;
        double bytes = parsed != null ? parsed : Numbers.real(number("filesizeformat", value));
        double base = binary ? 1024 : 1000;
        if (bytes == 1) {
            return "1 Byte";
        }
        if (bytes < base) {
            return Numbers.truncate(bytes) + " Bytes";
        }
        int power = 1;
        while (power < PREFIXES.size() && bytes >= Math.pow(base, power + 1)) {
            power++;
        }
        String prefix = PREFIXES.get(power - 1);
        return PercentFormat.format("%.1f ", bytes / Math.pow(base, power))
                + (binary ? PythonText.upper(prefix) + "iB" : prefix + "B");
    }
}
