package dev.finetune4j.core.kernel;

/** libtorch's operations alone, on a CPU for which no kernels were built or which may not use them. */
record TorchDeviceKernels() implements DeviceKernels {}
