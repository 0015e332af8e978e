/**
 * One token at a time on a CUDA GPU: every step is the same sequence of kernels on memory that stays where it is, recorded
 * once and repeated by one call.
 *
 * <p>{@link dev.finetune4j.core.decode.GraphDecoder} is what others use; it says which models it serves. Imports {@code nn},
 * {@code model}, {@code cuda} and {@code tensor}.
 */
@NullMarked
package dev.finetune4j.core.decode;

import org.jspecify.annotations.NullMarked;
