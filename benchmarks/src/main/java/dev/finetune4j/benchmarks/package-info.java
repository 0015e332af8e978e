/**
 * JMH benchmarks, one class per question, started with {@code mvn -q -Pbenchmark -Dargs="PATTERN"}.
 *
 * <p>{@code TrainCells} and {@code KernelCells} are programs that time whole steps and kernels, on a GPU above all;
 * {@code GPU-NOTES.md} in this module has their figures.
 *
 * <p>Start with {@code LinearBenchmark}. Imports the library modules, not {@code examples}; nothing imports this module.
 */
@NullMarked
package dev.finetune4j.benchmarks;

import org.jspecify.annotations.NullMarked;
