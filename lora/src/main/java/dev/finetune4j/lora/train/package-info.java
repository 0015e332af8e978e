/**
 * The training loop, its optimizer and schedules, and what can be watched of it.
 *
 * <p>{@link dev.finetune4j.lora.train.Trainer} is the loop; read its {@code run} and {@code step} first, then
 * {@code AdamW}. {@link dev.finetune4j.lora.train.LearningRateSchedule} moves the learning rate over the steps,
 * {@link dev.finetune4j.lora.train.ParameterGroups} sets it apart for some of the parameters, as
 * {@link dev.finetune4j.lora.train.LoraPlus} does. Imports {@code core} and {@code data}; the facade,
 * {@code lora.eval} and applications (listeners, reports, the curve) import it.
 */
@NullMarked
package dev.finetune4j.lora.train;

import org.jspecify.annotations.NullMarked;
