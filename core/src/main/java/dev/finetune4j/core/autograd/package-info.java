/**
 * Gradients that libtorch does not know by itself: {@link dev.finetune4j.core.autograd.CustomFunction} is the one way to
 * write a backward pass in Java.
 *
 * <p>{@link dev.finetune4j.core.autograd.Recompute}, activation checkpointing, is written with it. Imports
 * {@code core.tensor}; every module but {@code data} may import it.
 */
@NullMarked
package dev.finetune4j.core.autograd;

import org.jspecify.annotations.NullMarked;
