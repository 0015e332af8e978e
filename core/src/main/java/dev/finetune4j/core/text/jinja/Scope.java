package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.Budget;
import dev.finetune4j.core.text.jinja.python.Undefined;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The variables of a stretch of a template, and those around it. */
final class Scope {
    /** Scopes that are looked into for one step. */
    private static final int HOPS_PER_STEP = 4;

    /** What one takes with a few variables. */
    private static final int BYTES = 256;

    private final @Nullable Scope outer;
    private final Map<String, @Nullable Object> variables = new HashMap<>();

    Scope(@Nullable Scope outer) {
        Budget.allocate(BYTES);
        this.outer = outer;
    }

    void set(String name, @Nullable Object value) {
        variables.put(name, value);
    }

    @Nullable
    Object get(String name) {
        int hops = 0;
        for (Scope scope = this; scope != null; scope = scope.outer) {
            if (++hops % HOPS_PER_STEP == 0) {
                Budget.charge(1);
            }
            Object value = scope.variables.get(name);
            if (value != null || scope.variables.containsKey(name)) {
                return value;
            }
        }
        return Undefined.variable(name);
    }
}
