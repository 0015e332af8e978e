package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The filters by name: those of Jinja 3.1, with {@code tojson} as transformers has it. */
final class Filters {
    /** A filter. */
    @FunctionalInterface
    interface Filter {
        @Nullable
        Object apply(Evaluator evaluator, @Nullable Object value, CallArguments arguments);
    }

    private static final Set<String> UNSUPPORTED = Set.of("pprint", "random", "urlize", "wordwrap");
    private static final Map<String, Filter> TABLE = new HashMap<>();

    static {
        TABLE.putAll(TextFilters.table());
        TABLE.putAll(ItemFilters.table());
        TABLE.putAll(OrderFilters.table());
        TABLE.putAll(NumberFilters.table());
    }

    private Filters() {}

    /** Whether Jinja has the filter, be it supported or not. */
    static boolean isKnown(String name) {
        return TABLE.containsKey(name) || UNSUPPORTED.contains(name);
    }

    static boolean isSupported(String name) {
        return TABLE.containsKey(name);
    }

    static Filter named(String name) {
        Filter filter = TABLE.get(name);
        if (filter == null) {
            throw new TemplateError(unknown(name));
        }
        return filter;
    }

    static String unknown(String name) {
        return UNSUPPORTED.contains(name)
                ? "the filter '" + name + "' is not supported"
                : "there is no filter named '" + name + "'";
    }
}
