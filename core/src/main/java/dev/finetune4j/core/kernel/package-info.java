/**
 * The kernel floor: what layers, losses, optimizers and decoders compute with, whichever processor they are on.
 *
 * <p>{@link dev.finetune4j.core.kernel.Elementwise} has the passes between the matrix products of a decoder,
 * {@link dev.finetune4j.core.kernel.CrossEntropyKernel} the loss, {@link dev.finetune4j.core.kernel.GemvKernel} the products of
 * a decoder that adds one token at a time; {@link dev.finetune4j.core.kernel.FusedGemv} takes several of them together. The
 * native floors below are {@code kernel.cpu} and {@code kernel.cuda}; sources in CUDA C++ lie beside this package's classes.
 * Imports {@code tensor}. For {@code core}, {@code quant} and {@code lora}; not for applications.
 */
@NullMarked
package dev.finetune4j.core.kernel;

import org.jspecify.annotations.NullMarked;
