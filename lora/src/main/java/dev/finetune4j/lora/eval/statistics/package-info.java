/**
 * How sure figures are: intervals of 95 % and tests of paired results. Everything is stateless, and random numbers come from a seed.
 */
@NullMarked
package dev.finetune4j.lora.eval.statistics;

import org.jspecify.annotations.NullMarked;
