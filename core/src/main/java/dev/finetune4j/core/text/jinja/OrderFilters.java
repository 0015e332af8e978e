package dev.finetune4j.core.text.jinja;

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
                OrderFilters::sort,
                "dictsort",
                (evaluator, value, arguments) -> sortDict(value, arguments),
                "groupby",
                OrderFilters::group,
                "min",
                (evaluator, value, arguments) -> extreme(evaluator, value, arguments, "min"),
                "max",
                (evaluator, value, arguments) -> extreme(evaluator, value, arguments, "max"));
    }

    private static Object sort(Evaluator evaluator, @Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("sort", 0, "reverse", "case_sensitive", "attribute");
        return Sorting.sorted(
                evaluator.list(value),
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

    private static Object group(Evaluator evaluator, @Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("groupby", 1, "attribute", "default", "case_sensitive");
        Object path = bound.get("attribute");
        Object otherwise = bound.get("default");
        boolean caseCounts = bound.flag("case_sensitive");
        Function<@Nullable Object, @Nullable Object> key = Attributes.key(path, otherwise, caseCounts);
        Function<@Nullable Object, @Nullable Object> shown = Attributes.getter(path, otherwise);
        List<@Nullable Object> groups = new ArrayList<>();
        List<@Nullable Object> group = new ArrayList<>();
        Object previous = null;
        for (Object item : Sorting.sorted(evaluator.list(value), key, false)) {
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

    private static @Nullable Object extreme(
            Evaluator evaluator, @Nullable Object value, CallArguments arguments, String name) {
        CallArguments.Bound bound = arguments.bind(name, 0, "case_sensitive", "attribute");
        Function<@Nullable Object, @Nullable Object> key =
                Attributes.key(bound.get("attribute"), null, bound.flag("case_sensitive"));
        Iterator<@Nullable Object> items = evaluator.iterator(value);
        if (!items.hasNext()) {
            return new Undefined("No aggregated item, sequence was empty.");
        }
        Object best = items.next();
        Object bestKey = key.apply(best);
        while (items.hasNext()) {
            Object item = items.next();
            Object itemKey = key.apply(item);
            boolean better =
                    name.equals("min") ? Comparisons.less(itemKey, bestKey, "<") : Comparisons.less(bestKey, itemKey, ">");
            if (better) {
                best = item;
                bestKey = itemKey;
            }
        }
        return best;
    }
}
