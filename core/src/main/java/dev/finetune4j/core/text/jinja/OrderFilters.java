package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.Attributes;
import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.Comparisons;
import dev.finetune4j.core.text.jinja.python.Dict;
import dev.finetune4j.core.text.jinja.python.Members;
import dev.finetune4j.core.text.jinja.python.Sorting;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.Tuple;
import dev.finetune4j.core.text.jinja.python.Undefined;
import dev.finetune4j.core.text.jinja.python.Values;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** Filters that put items in order. */
final class OrderFilters {
    private OrderFilters() {}

    static Map<String, Filters.Filter> table() {
        return Map.of(
                "sort",
                (evaluator, value, arguments) -> sort(value, arguments),
                "dictsort",
                (evaluator, value, arguments) -> sortDict(value, arguments),
                "groupby",
                (evaluator, value, arguments) -> group(value, arguments),
                "min",
                (evaluator, value, arguments) -> extreme(value, arguments, "min"),
                "max",
                (evaluator, value, arguments) -> extreme(value, arguments, "max"));
    }

    private static Object sort(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("sort", 0, "reverse", "case_sensitive", "attribute");
        return Sorting.sorted(
                Values.list(value),
                Attributes.keys(bound.get("attribute"), bound.flag("case_sensitive")),
                bound.flag("reverse"));
    }

    private static Object sortDict(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("dictsort", 0, "case_sensitive", "by", "reverse");
        Object by = bound.get("by", "key");
        if (!Comparisons.equal(by, "key") && !Comparisons.equal(by, "value")) {
            throw new TemplateError("You can only sort by either \"key\" or \"value\"");
        }
        if (!(value instanceof Dict dict)) {
            throw Values.undefinedOr(
                    value, null, () -> "dictsort needs a dict, found '" + Values.typeName(value) + "'");
        }
        long place = Comparisons.equal(by, "key") ? 0 : 1;
        Function<@Nullable Object, @Nullable Object> part = entry -> Members.item(entry, place);
        return Sorting.sorted(
                dict.items(),
                bound.flag("case_sensitive") ? part : entry -> Attributes.withoutCase(part.apply(entry)),
                bound.flag("reverse"));
    }

    private static Object group(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("groupby", 1, "attribute", "default", "case_sensitive");
        Object path = bound.get("attribute");
        Object otherwise = bound.get("default");
        boolean caseCounts = bound.flag("case_sensitive");
        Function<@Nullable Object, @Nullable Object> key = Attributes.key(path, otherwise, caseCounts);
        Function<@Nullable Object, @Nullable Object> shown = Attributes.getter(path, otherwise);
        List<@Nullable Object> groups = new ArrayList<>();
        List<@Nullable Object> group = new ArrayList<>();
        Object previous = null;
        for (Object item : Sorting.sorted(Values.list(value), key, false)) {
            Object current = key.apply(item);
            if (group.isEmpty() || !Comparisons.equal(current, previous)) {
                group = new ArrayList<>();
                groups.add(Tuple.group(caseCounts ? current : shown.apply(item), group));
            }
            group.add(item);
            previous = current;
        }
        return groups;
    }

    private static @Nullable Object extreme(@Nullable Object value, CallArguments arguments, String name) {
        CallArguments.Bound bound = arguments.bind(name, 0, "case_sensitive", "attribute");
        Function<@Nullable Object, @Nullable Object> key =
                Attributes.key(bound.get("attribute"), null, bound.flag("case_sensitive"));
        Iterator<@Nullable Object> items = Values.countedIterator(value);
        if (!items.hasNext()) {
            return new Undefined("No aggregated item, sequence was empty.");
        }
        Object best = items.next();
        Object bestKey = key.apply(best);
        while (items.hasNext()) {
            Object item = items.next();
            Object itemKey = key.apply(item);
            boolean better = name.equals("min")
                    ? Comparisons.less(itemKey, bestKey, "<")
                    : Comparisons.less(bestKey, itemKey, ">");
            if (better) {
                best = item;
                bestKey = itemKey;
            }
        }
        return best;
    }
}
