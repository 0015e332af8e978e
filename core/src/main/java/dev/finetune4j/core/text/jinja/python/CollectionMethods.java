package dev.finetune4j.core.text.jinja.python;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The methods of dicts, lists, tuples, ranges and numbers; null stands for one that there is not. */
public final class CollectionMethods {
    private CollectionMethods() {}

    public static @Nullable PyCallable ofDict(Dict dict, String name) {
        return switch (name) {
            case "get" ->
                arguments -> {
                    CallArguments.Bound bound = arguments.bindUnnamed("get", 1, "key", "default");
                    return dict.get(bound.get("key"), bound.get("default"));
                };
            case "keys" -> arguments -> view(name, dict.keys(), arguments);
            case "values" -> arguments -> view(name, dict.values(), arguments);
            case "items" -> arguments -> view(name, dict.items(), arguments);
            case "copy" ->
                arguments -> {
                    arguments.bindUnnamed(name, 0);
                    return dict.copy();
                };
            case "fromkeys" ->
                arguments -> {
                    CallArguments.Bound bound = arguments.bindUnnamed(name, 1, "keys", "value");
                    Dict made = new Dict();
                    Values.each(bound.get("keys"), key -> made.put(key, bound.get("value")));
                    return made;
                };
            default -> null;
        };
    }

    private static DictView view(String name, List<@Nullable Object> items, CallArguments arguments) {
        arguments.bindUnnamed(name, 0);
        return new DictView(name, items);
    }

    public static @Nullable PyCallable ofSequence(Object sequence, String name) {
        List<@Nullable Object> items = Values.items(sequence);
        if (items == null) {
            return null;
        }
        return switch (name) {
            case "count" ->
                arguments -> {
                    Object wanted = arguments.bindUnnamed(name, 1, "value").get("value");
                    return items.stream()
                            .filter(item -> Comparisons.equal(item, wanted))
                            .count();
                };
            case "index" -> arguments -> index(items, arguments);
            case "copy" ->
                sequence instanceof List
                        ? arguments -> {
                            arguments.bindUnnamed(name, 0);
                            Budget.charge(items.size());
                            return new ArrayList<>(items);
                        }
                        : null;
            default -> null;
        };
    }

    private static Object index(List<@Nullable Object> items, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bindUnnamed("index", 1, "value", "start", "stop");
        int from = bound.whole("start", 0);
        int to = bound.whole("stop", items.size());
        int first = Math.max(0, from < 0 ? from + items.size() : from);
        int end = Math.min(items.size(), to < 0 ? to + items.size() : to);
        for (int i = first; i < end; i++) {
            if (Comparisons.equal(items.get(i), bound.get("value"))) {
                return (long) i;
            }
        }
        throw new TemplateError(Values.repr(bound.get("value")) + " is not in the list");
    }

    public static @Nullable Object ofRange(Range range, String name) {
        return switch (name) {
            case "start" -> range.start();
            case "stop" -> range.stop();
            case "step" -> range.step();
            case "count", "index" -> ofSequence(range, name);
            default -> null;
        };
    }

    public static @Nullable Object ofNumber(Object number, String name) {
        boolean whole = Numbers.isWhole(number);
        return switch (name) {
            case "real" -> whole ? Numbers.narrow(Numbers.big(number)) : number;
            case "imag" -> whole ? (Object) 0L : (Object) 0.0;
            case "numerator" -> whole ? Numbers.narrow(Numbers.big(number)) : null;
            case "denominator" -> whole ? 1L : null;
            case "conjugate" ->
                (PyCallable) arguments -> {
                    arguments.bindUnnamed(name, 0);
                    return whole ? Numbers.narrow(Numbers.big(number)) : number;
                };
            case "bit_length", "bit_count" -> whole ? bits(number, name) : null;
            case "is_integer" ->
                whole
                        ? null
                        : (PyCallable) arguments -> {
                            arguments.bindUnnamed(name, 0);
                            return (Double) number == Math.rint((Double) number) && !Double.isInfinite((Double) number);
                        };
            case "as_integer_ratio", "to_bytes", "from_bytes", "hex", "fromhex" ->
                throw new TemplateError("the method " + name + " of numbers is not supported");
            default -> null;
        };
    }

    private static PyCallable bits(Object number, String name) {
        return arguments -> {
            arguments.bindUnnamed(name, 0);
            BigInteger size = Numbers.big(number).abs();
            return (long) (name.equals("bit_count") ? size.bitCount() : size.bitLength());
        };
    }
}
