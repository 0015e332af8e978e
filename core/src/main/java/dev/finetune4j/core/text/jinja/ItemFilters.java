package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.Attributes;
import dev.finetune4j.core.text.jinja.python.Budget;
import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.Dict;
import dev.finetune4j.core.text.jinja.python.Key;
import dev.finetune4j.core.text.jinja.python.Members;
import dev.finetune4j.core.text.jinja.python.PyIterator;
import dev.finetune4j.core.text.jinja.python.PythonText;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.Undefined;
import dev.finetune4j.core.text.jinja.python.Values;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.StringJoiner;
import java.util.function.Function;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** Filters that pick, change and join items. Those that are lazy in Jinja give a {@link PyIterator}. */
final class ItemFilters {
    private ItemFilters() {}

    static Map<String, Filters.Filter> table() {
        return Map.ofEntries(
                Map.entry("default", (evaluator, value, arguments) -> otherwise(value, arguments)),
                Map.entry("d", (evaluator, value, arguments) -> otherwise(value, arguments)),
                Map.entry("length", (evaluator, value, arguments) -> length(value, arguments)),
                Map.entry("count", (evaluator, value, arguments) -> length(value, arguments)),
                Map.entry("list", (evaluator, value, arguments) -> {
                    arguments.bind("list", 0);
                    return Values.list(value);
                }),
                Map.entry("first", (evaluator, value, arguments) -> first(value, arguments)),
                Map.entry("last", (evaluator, value, arguments) -> last(value, arguments)),
                Map.entry("join", (evaluator, value, arguments) -> join(value, arguments)),
                Map.entry("items", (evaluator, value, arguments) -> items(value, arguments)),
                Map.entry("reverse", ItemFilters::reverse),
                Map.entry("map", ItemFilters::map),
                Map.entry("select", (evaluator, value, arguments) -> select(evaluator, value, arguments, true, false)),
                Map.entry("reject", (evaluator, value, arguments) -> select(evaluator, value, arguments, false, false)),
                Map.entry(
                        "selectattr", (evaluator, value, arguments) -> select(evaluator, value, arguments, true, true)),
                Map.entry(
                        "rejectattr",
                        (evaluator, value, arguments) -> select(evaluator, value, arguments, false, true)),
                Map.entry("unique", (evaluator, value, arguments) -> unique(value, arguments)),
                Map.entry("batch", ItemFilters::batch),
                Map.entry("slice", ItemFilters::slice),
                Map.entry(
                        "attr",
                        (evaluator, value, arguments) -> Members.ownAttribute(
                                value,
                                Values.text(arguments.bind("attr", 1, "name").get("name")))));
    }

    static PyIterator lazy(Iterator<@Nullable Object> items) {
        return new PyIterator(items, true);
    }

    private static @Nullable Object otherwise(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("default", 0, "default_value", "boolean");
        boolean missing = value instanceof Undefined || (bound.flag("boolean") && !Values.truth(value));
        return missing ? bound.get("default_value", "") : value;
    }

    private static Object length(@Nullable Object value, CallArguments arguments) {
        arguments.bindUnnamed("length", 0);
        return (long) Values.length(value);
    }

    private static @Nullable Object first(@Nullable Object value, CallArguments arguments) {
        arguments.bind("first", 0);
        Iterator<@Nullable Object> items = Values.countedIterator(value);
        return items.hasNext() ? items.next() : new Undefined("No first item, sequence was empty.");
    }

    private static @Nullable Object last(@Nullable Object value, CallArguments arguments) {
        arguments.bind("last", 0);
        List<@Nullable Object> items = reversible(value);
        if (items == null) {
            throw new TemplateError("'" + Values.typeName(value) + "' object is not reversible");
        }
        return items.isEmpty() ? new Undefined("No last item, sequence was empty.") : items.get(items.size() - 1);
    }

    /** The items of what has an end to begin from; null for what has not. */
    private static @Nullable List<@Nullable Object> reversible(@Nullable Object value) {
        if (value instanceof Undefined) {
            return List.of();
        }
        if (Values.isText(value)) {
            return new ArrayList<>(PythonText.characters(Values.text(value)));
        }
        return value instanceof Dict dict ? dict.keys() : Values.items(value);
    }

    private static Object reverse(Evaluator evaluator, @Nullable Object value, CallArguments arguments) {
        arguments.bind("reverse", 0);
        if (value instanceof String text) {
            return new StringBuilder(text).reverse().toString();
        }
        List<@Nullable Object> found = reversible(value);
        List<@Nullable Object> items = found == null ? Values.list(value) : new ArrayList<>(found);
        evaluator.budget().spend(items.size());
        Collections.reverse(items);
        return found == null ? items : new PyIterator(items.iterator(), false);
    }

    private static Object join(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("join", 0, "d", "attribute");
        Function<@Nullable Object, @Nullable Object> getter = Attributes.getter(bound.get("attribute"), null);
        StringJoiner joined = new StringJoiner(Values.str(bound.get("d", "")));
        Values.each(value, item -> {
            joined.add(Values.str(getter.apply(item)));
            Budget.checkLength(joined.length());
        });
        return joined.toString();
    }

    private static PyIterator items(@Nullable Object value, CallArguments arguments) {
        arguments.bind("items", 0);
        if (value instanceof Undefined) {
            return lazy(Collections.emptyIterator());
        }
        if (!(value instanceof Dict dict)) {
            throw new TemplateError("Can only get item pairs from a mapping.");
        }
        return lazy(dict.items().iterator());
    }

    private static PyIterator map(Evaluator evaluator, @Nullable Object value, CallArguments arguments) {
        if (!Values.truth(value)) {
            return lazy(Collections.emptyIterator());
        }
        Function<@Nullable Object, @Nullable Object> change;
        if (arguments.positional().isEmpty()) {
            if (!arguments.named().containsKey("attribute")) {
                throw new TemplateError("map requires a filter argument");
            }
            CallArguments.Bound bound = arguments.bind("map", 0, "attribute", "default");
            change = Attributes.getter(bound.get("attribute"), bound.get("default"));
        } else {
            String name = Values.text(arguments.positional().get(0));
            CallArguments rest = arguments.from(1);
            Filters.named(name);
            change = item -> evaluator.filter(name, item, rest);
        }
        Iterator<@Nullable Object> items = Values.countedIterator(value);
        return lazy(new Iterator<>() {
            @Override
            public boolean hasNext() {
                return items.hasNext();
            }

            @Override
            public @Nullable Object next() {
                return change.apply(items.next());
            }
        });
    }

    private static PyIterator select(
            Evaluator evaluator, @Nullable Object value, CallArguments arguments, boolean wanted, boolean byAttribute) {
        if (!Values.truth(value)) {
            return lazy(Collections.emptyIterator());
        }
        List<@Nullable Object> positional = arguments.positional();
        int first = byAttribute ? 1 : 0;
        if (positional.size() < first) {
            throw new TemplateError("Missing parameter for attribute name");
        }
        Function<@Nullable Object, @Nullable Object> getter =
                byAttribute ? Attributes.getter(positional.get(0), null) : item -> item;
        Predicate<@Nullable Object> test;
        if (positional.size() == first) {
            test = Values::truth;
        } else {
            String name = Values.text(positional.get(first));
            CallArguments rest = arguments.from(first + 1);
            test = item -> evaluator.test(name, item, rest);
        }
        return lazy(new Filtered(Values.countedIterator(value), item -> test.test(getter.apply(item)) == wanted));
    }

    private static PyIterator unique(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("unique", 0, "case_sensitive", "attribute");
        Function<@Nullable Object, @Nullable Object> key =
                Attributes.key(bound.get("attribute"), null, bound.flag("case_sensitive"));
        Set<Key> seen = new HashSet<>();
        return lazy(new Filtered(Values.countedIterator(value), item -> seen.add(Values.hashKey(key.apply(item)))));
    }

    private static PyIterator batch(Evaluator evaluator, @Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("batch", 1, "linecount", "fill_with");
        int size = bound.whole("linecount", 0);
        Object filler = bound.get("fill_with");
        List<@Nullable Object> batches = new ArrayList<>();
        List<@Nullable Object> batch = new ArrayList<>();
        for (Object item : Values.list(value)) {
            if (batch.size() == size) {
                batches.add(batch);
                batch = new ArrayList<>();
            }
            batch.add(item);
        }
        if (!batch.isEmpty()) {
            Budget.checkLength(size);
            evaluator.budget().spend(filler == null ? 0 : Math.max(0, size));
            while (filler != null && batch.size() < size) {
                batch.add(filler);
            }
            batches.add(batch);
        }
        return lazy(batches.iterator());
    }

    private static PyIterator slice(Evaluator evaluator, @Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("slice", 1, "slices", "fill_with");
        List<@Nullable Object> items = Values.list(value);
        int slices = bound.whole("slices", 0);
        if (slices == 0) {
            throw new TemplateError("items cannot be divided between 0 slices");
        }
        Object filler = bound.get("fill_with");
        int size = Math.floorDiv(items.size(), slices);
        int larger = Math.floorMod(items.size(), slices);
        List<@Nullable Object> pieces = new ArrayList<>();
        int start = 0;
        evaluator.budget().spend(Math.max(0, slices));
        Budget.allocate(64L * Math.max(0, slices));
        for (int i = 0; i < slices; i++) {
            int end = start + size + (i < larger ? 1 : 0);
            List<@Nullable Object> piece = new ArrayList<>(items.subList(start, end));
            if (filler != null && i >= larger) {
                piece.add(filler);
            }
            pieces.add(piece);
            start = end;
        }
        return lazy(pieces.iterator());
    }
}
