/**
 * JMH benchmarks, one class per question, each with the device and the number format among its parameters:
 *
 * <pre>
 * java -jar benchmarks/target/benchmarks.jar LinearBenchmark -p tokens=1,512 -p type=bf16     after mvn package
 * mvn -q -Pbenchmark -Dargs="LinearBenchmark -p tokens=1,512"                                  without it
 * </pre>
 *
 * <p>{@code TrainCells}, {@code DecodeCells} and {@code KernelCells} are programs that time whole steps and kernels, on a GPU
 * above all; {@code StepBreakdown} says which kernels the time of a step goes to. {@code GPU-NOTES.md} in this module has their
 * figures.
 *
 * <p>Start with {@code LinearBenchmark}. Imports the library modules, not {@code examples}; nothing imports this module.
 */
@NullMarked
package dev.finetune4j.benchmarks;

import org.jspecify.annotations.NullMarked;
