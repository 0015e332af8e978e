package dev.finetune4j.core.text.jinja.python;

import org.jspecify.annotations.Nullable;

/**
 * The value of a variable, attribute or item that does not exist: false, empty and written as nothing, but of no use in
 * arithmetic and without attributes of its own.
 *
 * @param reason why it is undefined, for the message when it is used after all
 */
public record Undefined(String reason) {
    /** What one takes with its reason. */
    private static final int BYTES = 320;

    public Undefined {
        Budget.allocate(BYTES);
    }

    public static Undefined variable(String name) {
        return new Undefined("'" + name + "' is undefined");
    }

    public static Undefined member(@Nullable Object object, @Nullable Object key) {
        String type = object == null ? "None" : Values.typeName(object) + " object";
        if (key instanceof String name) {
            return new Undefined("'" + type + "' has no attribute '" + name + "'");
        }
        String element = Numbers.isNumber(key) ? String.valueOf(key) : "of type '" + Values.typeName(key) + "'";
        return new Undefined(type + " has no element " + element);
    }

    public TemplateError failure() {
        return new TemplateError(reason);
    }
}
