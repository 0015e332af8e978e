/**
 * Own kernels on the CPU: C++ under {@code src/main/native}, compiled once for each level of vector instructions, of which
 * the best that the processor has is chosen at run time.
 *
 * <p>{@link dev.finetune4j.core.kernel.cpu.CpuKernels} is the way in; it checks every size before an address goes down. Where the
 * library was built without a C++ compiler there are no kernels, and libtorch computes. For {@code core},
 * {@code quant} and {@code lora}; not for applications. Imports {@code tensor}.
 */
@NullMarked
package dev.finetune4j.core.kernel.cpu;

import org.jspecify.annotations.NullMarked;
