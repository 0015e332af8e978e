/**
 * Own kernels on CUDA GPUs: sources in CUDA C++ are resources, compiled at run time for the GPU at hand and launched on the
 * stream that libtorch uses.
 *
 * <p>{@link dev.finetune4j.core.kernel.cuda.CudaModule} compiles and keeps them, {@link dev.finetune4j.core.kernel.cuda.CudaKernel} launches
 * one. {@link dev.finetune4j.core.kernel.cuda.GemmSelector} multiplies large matrices by the kernels of cuBLAS that
 * {@link dev.finetune4j.core.kernel.cuda.GemmTiling} expects to be the fastest. Nothing here is touched on a machine without a GPU. For {@code core} and {@code quant}; not for applications.
 */
@NullMarked
package dev.finetune4j.core.kernel.cuda;

import org.jspecify.annotations.NullMarked;
