/**
 * What a training minimizes. {@link dev.finetune4j.lora.objective.Objective} is forward pass, loss and gradient of a batch as a
 * parameter of the training loop; {@link dev.finetune4j.lora.objective.SftObjective} is supervised fine-tuning.
 *
 * <p>A step of preference optimization has four parts: the frozen reference, where {@code needsReference} says so, and the trained
 * model (the policy) score the answers, by {@link dev.finetune4j.core.nn.SequenceLogProbs};
 * {@link dev.finetune4j.lora.objective.LogProbs} holds both; a {@link dev.finetune4j.lora.objective.PreferenceLoss} turns them into
 * losses, through which autograd runs; and {@code SequenceLogProbs} carries their gradient back through the model. The losses are
 * either {@link dev.finetune4j.lora.objective.PairLoss}es of a better and a worse answer, or
 * {@link dev.finetune4j.lora.objective.Kto}, which takes desirable and undesirable answers one by one.
 *
 * <p>The sequences of an example begin with one prompt. In rows of {@code Collator.Layout.SHARED} it stands once: the keys of an
 * answer are those of the prompt and its own ({@code core.kernel.SharedKeys}), so that its hidden states are what they are behind a
 * prompt of its own.
 *
 * <p>Where TRL's arithmetic changes with the way a step is split, it has a name of its own:
 * {@link dev.finetune4j.lora.objective.MeanOfMicroBatches} and the token means of {@link dev.finetune4j.lora.objective.AnswerLoss}.
 *
 * <p>Imports {@code core} and {@code data}. {@code lora.train} and the facade import it.
 */
@NullMarked
package dev.finetune4j.lora.objective;

import org.jspecify.annotations.NullMarked;
