/**
 * What an application says and hears of a training: {@link dev.finetune4j.lora.train.TrainingSettings} and {@link
 * dev.finetune4j.lora.train.LearningRateSchedule}; {@link dev.finetune4j.lora.train.TrainingListener} gets a {@link
 * dev.finetune4j.lora.train.StepReport} after each optimizer step, and {@link dev.finetune4j.lora.train.TrainingReport} says what
 * became of it. {@code lora.train.loop} trains. Imports {@code data} and the exceptions of {@code core}.
 */
@NullMarked
package dev.finetune4j.lora.train;

import org.jspecify.annotations.NullMarked;
