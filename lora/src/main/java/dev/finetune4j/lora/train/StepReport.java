package dev.finetune4j.lora.train;

import java.time.Duration;

/**
 * What one optimizer step did.
 *
 * @param step number of the step, from 1
 * @param totalSteps all steps of the training
 * @param epoch passes over the data so far, with fraction
 * @param loss mean over the step's target tokens of the negative log-probability, in nats
 * @param gradNorm norm of all gradients before clipping
 * @param learningRate the learning rate that the step used
 * @param targetTokens tokens that were learned
 * @param tokens tokens that went through the model, without padding
 * @param tokensPerSecond {@code tokens} over the duration of the step
 * @param elapsed time since the training began
 * @param remaining estimate from the mean duration of the steps so far
 */
public record StepReport(
        int step,
        int totalSteps,
        double epoch,
        double loss,
        double gradNorm,
        double learningRate,
        int targetTokens,
        int tokens,
        double tokensPerSecond,
        Duration elapsed,
        Duration remaining) {}
