/**
 * Objectives that learn from preferences between answers, and the sequence log-probabilities that they are functions of.
 *
 * <p>A step of preference training has four parts: {@link dev.finetune4j.lora.preference.SequenceLogProbability} scores
 * the answers, once with the trained model and, where {@code needsReference} says so, once with the frozen one;
 * {@link dev.finetune4j.lora.preference.AnswerScores} holds the scores; a
 * {@link dev.finetune4j.lora.preference.PreferenceLoss} turns them into losses, through which autograd runs; and
 * {@code SequenceLogProbability} carries the gradient on the scores back through the model. The losses are either
 * {@link dev.finetune4j.lora.preference.PairLoss}es of a better and a worse answer, or
 * {@link dev.finetune4j.lora.preference.Kto}, which judges answers one by one.
 *
 * <p>Imports {@code core} only. {@code lora.train} and the facade may import it.
 */
@NullMarked
package dev.finetune4j.lora.preference;

import org.jspecify.annotations.NullMarked;
