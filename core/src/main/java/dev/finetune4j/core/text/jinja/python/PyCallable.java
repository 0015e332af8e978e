package dev.finetune4j.core.text.jinja.python;

import org.jspecify.annotations.Nullable;

/** A value that can be called: a function that every template has, a macro, or a method with its object. */
@FunctionalInterface
public interface PyCallable {
    @Nullable
    Object call(CallArguments arguments);
}
