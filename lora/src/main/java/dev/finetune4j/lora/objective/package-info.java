/**
 * What a training minimizes. {@link dev.finetune4j.lora.objective.Objective} is forward pass, loss and gradient of a batch as a
 * parameter of the training loop; {@link dev.finetune4j.lora.objective.SftObjective} is supervised fine-tuning.
 *
 * <p>A step of preference optimization has four parts: {@link dev.finetune4j.core.nn.SequenceLogProbs} computes the
 * log-probabilities of the answers, once with the trained model (the policy) and, where {@code needsReference} says so, once with
 * the frozen reference; {@link dev.finetune4j.lora.objective.LogProbs} holds both; a
 * {@link dev.finetune4j.lora.objective.PreferenceLoss} turns them into losses, through which autograd runs; and
 * {@code SequenceLogProbs} carries their gradient back through the model. The losses are either
 * {@link dev.finetune4j.lora.objective.PairLoss}es of a better and a worse answer, or
 * {@link dev.finetune4j.lora.objective.Kto}, which takes desirable and undesirable answers one by one.
 *
 * <p>Imports {@code core} and {@code data}. {@code lora.train} and the facade import it.
 */
@NullMarked
package dev.finetune4j.lora.objective;

import org.jspecify.annotations.NullMarked;
