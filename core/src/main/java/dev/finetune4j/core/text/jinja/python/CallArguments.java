package dev.finetune4j.core.text.jinja.python;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The values with which something is called.
 *
 * @param positional in order
 * @param named by name, in order
 */
public record CallArguments(List<@Nullable Object> positional, Map<String, @Nullable Object> named) {
    public static final CallArguments NONE = new CallArguments(List.of(), Map.of());

    public static CallArguments of(@Nullable Object... positional) {
        return new CallArguments(Arrays.asList(positional), Map.of());
    }

    /** The same without the first positional ones. */
    public CallArguments from(int first) {
        return new CallArguments(positional.subList(first, positional.size()), named);
    }

    /**
     * Gives each parameter its value.
     *
     * @param function for messages
     * @param required how many of the parameters have no default
     */
    public Bound bind(String function, int required, String... names) {
        if (positional.size() > names.length) {
            throw new TemplateError(
                    function + " takes at most " + names.length + " arguments, but was given " + positional.size());
        }
        Map<String, @Nullable Object> values = new LinkedHashMap<>();
        for (int i = 0; i < positional.size(); i++) {
            values.put(names[i], positional.get(i));
        }
        named.forEach((name, value) -> {
            if (!Arrays.asList(names).contains(name)) {
                throw new TemplateError(function + " has no argument named '" + name + "'");
            }
            if (values.containsKey(name)) {
                throw new TemplateError(function + " was given its argument '" + name + "' twice");
            }
            values.put(name, value);
        });
        for (int i = 0; i < required; i++) {
            if (!values.containsKey(names[i])) {
                throw new TemplateError(function + " needs its argument '" + names[i] + "'");
            }
        }
        return new Bound(values);
    }

    /** As {@link #bind}, for functions of which the arguments have no names. */
    public Bound bindUnnamed(String function, int required, String... names) {
        if (!named.isEmpty()) {
            throw new TemplateError(function + " takes no named arguments");
        }
        return bind(function, required, names);
    }

    /**
     * The values of parameters by name; those that were not given are absent.
     *
     * @param values by name
     */
    public record Bound(Map<String, @Nullable Object> values) {
        public boolean has(String name) {
            return values.containsKey(name);
        }

        @Nullable
        public Object get(String name) {
            return values.get(name);
        }

        @Nullable
        public Object get(String name, @Nullable Object otherwise) {
            return has(name) ? values.get(name) : otherwise;
        }

        public boolean flag(String name) {
            return has(name) && Values.truth(values.get(name));
        }

        public int whole(String name, int otherwise) {
            return has(name) ? Values.index(values.get(name)) : otherwise;
        }

        public String text(String name, String otherwise) {
            return has(name) ? Values.text(values.get(name)) : otherwise;
        }
    }
}
