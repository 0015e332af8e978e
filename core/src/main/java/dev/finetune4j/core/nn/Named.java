package dev.finetune4j.core.nn;

import java.util.function.BiFunction;

/**
 * A module and where it stands.
 *
 * @param name Hugging Face module path
 * @param module such as a {@link Linear} or an {@link RmsNorm}
 */
public record Named<M>(String name, M module) {
    /** The same place with what a function of path and module makes of it, such as {@link ModuleTransform#linear}. */
    public Named<M> map(BiFunction<String, M, M> transform) {
        return new Named<>(name, transform.apply(name, module));
    }
}
