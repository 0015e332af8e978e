package dev.finetune4j.benchmarks;

/**
 * One piece of work that a GPU did.
 *
 * @param name of the kernel as the driver knows it, mangled if it is C++; copies and memory that is set are named in brackets
 * @param start nanoseconds on the GPU's clock
 * @param end nanoseconds on the same clock
 */
record TracedKernel(String name, long start, long end) {
    /** Nanoseconds that it took. */
    long nanos() {
        return end - start;
    }
}
