/**
 * How much memory a training will take, computed from config.json and the settings before anything is loaded:
 * {@link dev.finetune4j.lora.plan.estimate.MemoryPlanner} makes a {@link dev.finetune4j.lora.plan.MemoryPlan}, chooses what blocks
 * keep for the backward pass, and says what to change when the device is too small.
 *
 * <p>The bytes of weights, adapter, gradients and optimizer are exact; those of a pass follow the code of {@code core.nn} and
 * of libtorch, term by term. May use {@code lora.adapter}, {@code quant} and {@code core}; the facade uses it. Start reading
 * at {@code MemoryPlanner.plan}, then {@code BlockBytes}.
 */
@NullMarked
package dev.finetune4j.lora.plan;

import org.jspecify.annotations.NullMarked;
