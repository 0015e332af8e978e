package dev.finetune4j.core.text.jinja;

import org.jspecify.annotations.Nullable;

/** A value that can be called: a function that every template has, a macro, or a method with its object. */
@FunctionalInterface
interface PyCallable {
    @Nullable
    Object call(Evaluator evaluator, CallArguments arguments);
}
