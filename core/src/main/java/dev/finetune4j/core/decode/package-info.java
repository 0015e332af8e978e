/**
 * One token at a time: every step is the same sequence of kernels on memory that stays where it is, on a CUDA GPU captured once
 * and repeated by one call. The program of a step ({@code DecodeStep}) is one for all families and processors.
 *
 * <p>{@link dev.finetune4j.core.decode.CudaGraphDecoder} and, on the CPU, {@link dev.finetune4j.core.decode.CpuDecoder} are what
 * others use for one sequence, {@link dev.finetune4j.core.decode.BatchDecoder} for many; they say which models they support. Imports {@code nn}, {@code model}, {@code kernel} and {@code tensor}.
 */
@NullMarked
package dev.finetune4j.core.decode;

import org.jspecify.annotations.NullMarked;
