/**
 * The training loop, its optimizer and schedules, and what can be watched of it.
 *
 * <p>{@link dev.finetune4j.lora.train.Trainer} is the loop; read its {@code Loop} first, then {@code ForwardBackward},
 * {@code AdamW} and {@code TrainingState}, from a copy of which a training goes on. What is minimized is a parameter,
 * {@link dev.finetune4j.lora.objective.Objective}. {@link dev.finetune4j.lora.train.LearningRateSchedule} moves the learning
 * rate over the steps, {@link dev.finetune4j.lora.train.ParameterGroups} sets it apart for some of the parameters, as
 * {@link dev.finetune4j.lora.train.LoraPlus} does. Imports {@code core}, {@code data} and {@code lora.objective}; the facade,
 * {@code lora.eval}, {@code lora.report} and applications (listeners, reports) import it.
 */
@NullMarked
package dev.finetune4j.lora.train;

import org.jspecify.annotations.NullMarked;
