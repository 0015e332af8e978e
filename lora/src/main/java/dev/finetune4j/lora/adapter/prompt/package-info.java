/**
 * Prompt learning: prefix tuning, P-tuning and prompt tuning, whose adapters are virtual tokens before the first one. A {@code
 * PromptEncoder} makes them while they are trained, {@code PromptEncoderSpec} says of which tensors, and a file holds what it made.
 * May use what {@code lora.adapter.lora} may.
 */
@NullMarked
package dev.finetune4j.lora.adapter.prompt;

import org.jspecify.annotations.NullMarked;
