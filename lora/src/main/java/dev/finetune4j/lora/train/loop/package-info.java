/**
 * The training loop and what it is made of; nothing here is for applications.
 *
 * <p>Read {@link dev.finetune4j.lora.train.loop.Trainer} and {@code TrainingLoop} first, with {@code StepPasses} and {@code
 * BetweenSteps}, then {@code ForwardBackward} (with {@code GraphCache} on a GPU), {@code GradientStep} by an {@code UpdateRule} over {@code FlatParameters}, and {@code TrainingState}, from a copy of which a
 * training goes on; {@code Checkpoints} takes such copies and has them written, {@code Resumption} goes on from one. What is minimized is a parameter, {@link dev.finetune4j.lora.objective.Objective}; the outcome is measured by
 * {@code OutcomeCheck}. {@link dev.finetune4j.lora.train.loop.ParameterGroups} sets the learning rate apart for some of the
 * parameters. Imports {@code core}, {@code data}, {@code lora.objective} and the settings and reports of {@code lora.train}; the
 * facade imports it.
 */
@NullMarked
package dev.finetune4j.lora.train.loop;

import org.jspecify.annotations.NullMarked;
