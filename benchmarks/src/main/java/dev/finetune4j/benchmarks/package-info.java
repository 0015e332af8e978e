/**
 * JMH benchmarks, one class per question, started with {@code mvn -q -Pbenchmark -Dargs="PATTERN"}.
 *
 * <p>Figures that are quoted anywhere come from here. Nothing imports this module.
 */
@NullMarked
package dev.finetune4j.benchmarks;

import org.jspecify.annotations.NullMarked;
