/**
 * What an application meets everywhere: the exceptions of the library, and where and how a model computes ({@link
 * dev.finetune4j.core.ComputeDevice}, {@link dev.finetune4j.core.Precision}, {@link dev.finetune4j.core.ActivationCheckpointing});
 * the work is done in the packages below.
 *
 * <p>Reading order: {@code core.tensor} (native start-up and memory), {@code core.autograd} (a
 * backward pass in Java), {@code core.nn} (the blocks of a decoder),
 * {@code core.model} (families and loading), {@code core.io} (files), {@code core.text} (tokenizer and chat templates),
 * {@code core.generate} and {@code core.inference} (from prompt to text). {@code core} imports none of the other modules; all of them
 * may import it, {@code data} only this package, {@code core.text} and {@code core.tensor}.
 */
@NullMarked
package dev.finetune4j.core;

import org.jspecify.annotations.NullMarked;
