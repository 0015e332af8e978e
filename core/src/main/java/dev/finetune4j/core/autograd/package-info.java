/**
 * Gradients that libtorch does not know by itself: {@link dev.finetune4j.core.autograd.CustomFunction} is the one way to
 * write a backward pass in Java.
 *
 * <p>Imports {@code core.tensor}; any module may import it.
 */
@NullMarked
package dev.finetune4j.core.autograd;

import org.jspecify.annotations.NullMarked;
