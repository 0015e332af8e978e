/**
 * The exceptions of the library, and what all packages below, in which the work is done, share.
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
