package dev.finetune4j.core.text.jinja.python;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** Writes values as Python's {@code repr}. What Python writes with an address in memory is refused. */
public final class PyRepr {
    private final StringBuilder text;

    public PyRepr(StringBuilder text) {
        this.text = text;
    }

    public void write(@Nullable Object value, int depth) {
        Values.checkDepth(depth);
        Budget.charge(1);
        Budget.checkLength(text.length());
        if (value == null) {
            text.append("None");
        } else if (value instanceof Boolean bit) {
            text.append(bit ? "True" : "False");
        } else if (Numbers.isNumber(value)) {
            text.append(Numbers.text(value));
        } else if (value instanceof String string) {
            text.append(PythonText.quoted(string));
        } else if (value instanceof Dict dict) {
            dict(dict, depth);
        } else if (value instanceof Tuple tuple) {
            text.append('(');
            items(tuple.items(), depth);
            text.append(tuple.items().size() == 1 ? ",)" : ")");
        } else if (value instanceof DictView view) {
            text.append("dict_").append(view.kind()).append("([");
            items(view.items(), depth);
            text.append("])");
        } else if (value instanceof Range range) {
            text.append(range);
        } else if (value instanceof Namespace namespace) {
            text.append("<Namespace ");
            dict(namespace.attributes(), depth);
            text.append('>');
        } else if (value instanceof Undefined) {
            text.append("Undefined");
        } else if (value instanceof SafeText safe) {
            text.append("Markup(").append(PythonText.quoted(safe.text())).append(')');
        } else if (value instanceof PyObject) {
            text.append(value);
        } else if (value instanceof List) {
            text.append('[');
            list(value, depth);
            text.append(']');
        } else {
            throw new TemplateError("a " + Values.typeName(value)
                    + " has no text of its own; go through its items, or make a list of it, before writing it");
        }
    }

    private void list(Object value, int depth) {
        List<@Nullable Object> list = Values.items(value);
        if (list != null) {
            items(list, depth);
        }
    }

    private void items(List<@Nullable Object> items, int depth) {
        String separator = "";
        for (Object item : items) {
            text.append(separator);
            write(item, depth + 1);
            separator = ", ";
        }
    }

    private void dict(Dict dict, int depth) {
        text.append('{');
        String[] separator = {""};
        dict.forEach((key, value) -> {
            text.append(separator[0]);
            write(key, depth + 1);
            text.append(": ");
            write(value, depth + 1);
            separator[0] = ", ";
        });
        text.append('}');
    }
}
