/**
 * The settings of a training, its schedules, and what can be watched of it: the listener, the report of each step and of the whole.
 *
 * <p>{@link dev.finetune4j.lora.train.LearningRateSchedule} moves the learning rate over the steps. The loop itself is {@code
 * lora.train.loop}, what it writes to go on from {@code lora.train.checkpoint}. Imports {@code core} and {@code data}; the facade, {@code lora.report} and applications import it.
 */
@NullMarked
package dev.finetune4j.lora.train;

import org.jspecify.annotations.NullMarked;
