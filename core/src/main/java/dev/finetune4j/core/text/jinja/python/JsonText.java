package dev.finetune4j.core.text.jinja.python;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** Values as Python's {@code json.dumps} writes them. */
public final class JsonText {
    private final boolean ascii;
    private final @Nullable String indent;
    private final String itemSeparator;
    private final String keySeparator;
    private final boolean sorted;
    private final StringBuilder text = new StringBuilder();

    private JsonText(
            boolean ascii, @Nullable String indent, String itemSeparator, String keySeparator, boolean sorted) {
        this.ascii = ascii;
        this.indent = indent;
        this.itemSeparator = itemSeparator;
        this.keySeparator = keySeparator;
        this.sorted = sorted;
    }

    /** The filter {@code tojson}, with the arguments that transformers gives it. */
    public static String of(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys");
        Object depth = bound.get("indent");
        String indent = depth == null
                ? null
                : depth instanceof String text ? text : StringMethods.repeated(" ", Values.index(depth));
        List<@Nullable Object> separators = Values.items(bound.get("separators"));
        if (bound.get("separators") != null && (separators == null || separators.size() != 2)) {
            throw new TemplateError("the separators of tojson must be two texts");
        }
        JsonText json = new JsonText(
                bound.flag("ensure_ascii"),
                indent,
                separators == null ? (indent == null ? ", " : ",") : Values.text(separators.get(0)),
                separators == null ? ": " : Values.text(separators.get(1)),
                bound.flag("sort_keys"));
        json.write(value, 0);
        return json.text.toString();
    }

    private void write(@Nullable Object value, int depth) {
        Values.checkDepth(depth);
        Budget.charge(1);
        Budget.checkLength(text.length());
        if (value instanceof String || value instanceof SafeText) {
            string(Values.text(value));
        } else if (value == null || value instanceof Boolean || Numbers.isNumber(value)) {
            text.append(scalar(value));
        } else if (value instanceof List || value instanceof Tuple) {
            list(value, depth);
        } else if (value instanceof Dict dict) {
            dict(dict, depth);
        } else {
            throw new TemplateError("Object of type " + Values.typeName(value) + " is not JSON serializable");
        }
    }

    private static String scalar(@Nullable Object value) {
        if (value == null) {
            return "null";
        }
        if (value instanceof Double real && (real.isNaN() || real.isInfinite())) {
            return real.isNaN() ? "NaN" : real > 0 ? "Infinity" : "-Infinity";
        }
        return value instanceof Boolean bit ? bit.toString() : Numbers.text(value);
    }

    private void list(Object value, int depth) {
        List<@Nullable Object> items = Values.items(value);
        if (items == null || items.isEmpty()) {
            text.append("[]");
            return;
        }
        text.append('[');
        String separator = "";
        for (Object item : items) {
            text.append(separator);
            lineBreak(depth + 1);
            write(item, depth + 1);
            separator = itemSeparator;
        }
        lineBreak(depth);
        text.append(']');
    }

    private void dict(Dict dict, int depth) {
        List<@Nullable Object> keys = dict.keys();
        if (keys.isEmpty()) {
            text.append("{}");
            return;
        }
        if (sorted) {
            keys = Sorting.sorted(keys, key -> key, false);
        }
        text.append('{');
        String separator = "";
        for (Object key : keys) {
            text.append(separator);
            lineBreak(depth + 1);
            string(name(key));
            text.append(keySeparator);
            write(dict.get(key, null), depth + 1);
            separator = itemSeparator;
        }
        lineBreak(depth);
        text.append('}');
    }

    private static String name(@Nullable Object key) {
        if (key instanceof String name) {
            return name;
        }
        if (key == null || Numbers.isNumber(key)) {
            return scalar(key);
        }
        throw new TemplateError("keys must be str, int, float, bool or None, not " + Values.typeName(key));
    }

    private void lineBreak(int depth) {
        if (indent != null) {
            text.append('\n').append(StringMethods.repeated(indent, depth));
        }
    }

    private void string(String string) {
        Budget.charge(string.length() / 2);
        text.append('"');
        for (int i = 0; i < string.length(); i++) {
            char c = string.charAt(i);
            switch (c) {
                case '"' -> text.append("\\\"");
                case '\\' -> text.append("\\\\");
                case '\n' -> text.append("\\n");
                case '\r' -> text.append("\\r");
                case '\t' -> text.append("\\t");
                case '\b' -> text.append("\\b");
                case '\f' -> text.append("\\f");
                default -> {
                    if (c < ' ' || (ascii && c > '~')) {
                        PythonText.appendHex(text.append("\\u"), c, 4);
                    } else {
                        text.append(c);
                    }
                }
            }
        }
        text.append('"');
    }
}
