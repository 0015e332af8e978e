package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.Comparisons;
import dev.finetune4j.core.text.jinja.python.Dict;
import dev.finetune4j.core.text.jinja.python.Numbers;
import dev.finetune4j.core.text.jinja.python.Operators;
import dev.finetune4j.core.text.jinja.python.PyCallable;
import dev.finetune4j.core.text.jinja.python.Range;
import dev.finetune4j.core.text.jinja.python.SafeText;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.TextTests;
import dev.finetune4j.core.text.jinja.python.Tuple;
import dev.finetune4j.core.text.jinja.python.Undefined;
import dev.finetune4j.core.text.jinja.python.Values;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** The tests by name: those of Jinja 3.1. */
final class Tests {
    /** A test. */
    @FunctionalInterface
    interface Test {
        boolean holds(@Nullable Object value, CallArguments arguments);
    }

    private static final Map<String, Test> TABLE = new HashMap<>();

    static {
        plain("defined", value -> !(value instanceof Undefined));
        plain("undefined", value -> value instanceof Undefined);
        plain("none", value -> value == null);
        plain("boolean", value -> value instanceof Boolean);
        plain("true", value -> value instanceof Boolean bit && bit);
        plain("false", value -> value instanceof Boolean bit && !bit);
        plain("integer", value -> Numbers.isWhole(value) && !(value instanceof Boolean));
        plain("float", value -> value instanceof Double);
        plain("number", Numbers::isNumber);
        plain("string", Values::isText);
        plain("mapping", value -> value instanceof Dict);
        plain("sequence", Tests::isSequence);
        plain("iterable", Values::isIterable);
        plain("callable", value -> value instanceof PyCallable || value instanceof Undefined);
        plain("escaped", value -> value instanceof SafeText);
        plain("lower", value -> TextTests.isCase(Values.str(value), false));
        plain("upper", value -> TextTests.isCase(Values.str(value), true));
        plain("odd", value -> Comparisons.equal(Operators.binary("%", value, 2L), 1L));
        plain("even", value -> Comparisons.equal(Operators.binary("%", value, 2L), 0L));
        plain("filter", value -> Filters.isKnown(String.valueOf(Values.hashKey(value))));
        plain("test", value -> isKnown(String.valueOf(Values.hashKey(value))));
        TABLE.put(
                "divisibleby",
                (value, arguments) -> Comparisons.equal(
                        Operators.binary(
                                "%",
                                value, arguments.bind("divisibleby", 1, "num").get("num")),
                        0L));
        TABLE.put(
                "sameas",
                (value, arguments) ->
                        same(value, arguments.bind("sameas", 1, "other").get("other")));
        TABLE.put(
                "in",
                (value, arguments) -> Operators.compare(
                        "in", value, arguments.bind("in", 1, "seq").get("seq")));
        comparison("==", "==", "eq", "equalto");
        comparison("!=", "!=", "ne");
        comparison(">", ">", "gt", "greaterthan");
        comparison(">=", ">=", "ge");
        comparison("<", "<", "lt", "lessthan");
        comparison("<=", "<=", "le");
    }

    private Tests() {}

    static boolean isKnown(String name) {
        return TABLE.containsKey(name);
    }

    static Test named(String name) {
        Test test = TABLE.get(name);
        if (test == null) {
            throw new TemplateError(unknown(name));
        }
        return test;
    }

    static String unknown(String name) {
        return "there is no test named '" + name + "'";
    }

    private static void plain(String name, Predicate<@Nullable Object> test) {
        TABLE.put(name, (value, arguments) -> {
            arguments.bind(name, 0);
            return test.test(value);
        });
    }

    private static void comparison(String operator, String... names) {
        for (String name : names) {
            TABLE.put(name, (value, arguments) -> {
                Object other = arguments.bindUnnamed(name, 1, "other").get("other");
                return Operators.compare(operator, value, other);
            });
        }
    }

    private static boolean isSequence(@Nullable Object value) {
        return Values.isText(value)
                || value instanceof List
                || value instanceof Tuple
                || value instanceof Dict
                || value instanceof Range
                || value instanceof Undefined;
    }

    /** Whether two values are one object. Python keeps one object for each small whole number. */
    @SuppressWarnings("ReferenceEquality")
    private static boolean same(@Nullable Object value, @Nullable Object other) {
        if (value instanceof Boolean || (value instanceof Long whole && whole >= -5 && whole <= 256)) {
            return value.equals(other);
        }
        return value == other;
    }
}
