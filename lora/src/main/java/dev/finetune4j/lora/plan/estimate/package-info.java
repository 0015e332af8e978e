/**
 * How a memory plan is made: {@link dev.finetune4j.lora.plan.estimate.MemoryPlanner} adds what stays for the whole training
 * ({@code StaticBytes}) to what a pass needs ({@code PassBytes}, {@code BlockBytes}). Imports {@code lora.adapter}, the
 * settings of {@code lora.train}, {@code quant} and {@code core}; the facade imports it.
 */
@NullMarked
package dev.finetune4j.lora.plan.estimate;

import org.jspecify.annotations.NullMarked;
