/**
 * JMH benchmarks, one class per question, started with {@code mvn -q -Pbenchmark -Dargs="PATTERN"}.
 *
 * <p>Start with {@code LinearBenchmark}. Imports the library modules, not {@code examples}; nothing imports this module.
 */
@NullMarked
package dev.finetune4j.benchmarks;

import org.jspecify.annotations.NullMarked;
