/**
 * The kernel floor: what layers, losses, optimizers and decoders compute with, whichever processor they are on.
 *
 * <p>Reading order: {@link dev.finetune4j.core.kernel.DeviceKernels} is chosen once for each device and hands out the rest. Its
 * {@link dev.finetune4j.core.kernel.Elementwise} passes and
 * {@link dev.finetune4j.core.kernel.HeadKernels} stand between the matrix products of a decoder,
 * {@link dev.finetune4j.core.kernel.SequenceAttention} mixes its tokens,
 * {@link dev.finetune4j.core.kernel.LossKernels} and {@link dev.finetune4j.core.kernel.OptimizerKernels} at the ends of a
 * training step, {@link dev.finetune4j.core.kernel.DecodeKernels} and {@link dev.finetune4j.core.kernel.GemvKernel} in a decoder
 * that adds one token at a time; {@link dev.finetune4j.core.kernel.FusedGemv} takes the products of several weights together.
 * Each has an implementation for the CPU, one for CUDA GPUs, and libtorch's operations where neither is there.
 *
 * <p>The native floors below are {@code kernel.cpu} and {@code kernel.cuda}; sources in CUDA C++ lie beside this package's
 * classes. Imports {@code tensor}, knows no layer. For {@code core}, {@code quant} and {@code lora}; not for applications.
 */
@NullMarked
package dev.finetune4j.core.kernel;

import org.jspecify.annotations.NullMarked;
