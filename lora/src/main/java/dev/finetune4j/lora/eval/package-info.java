/**
 * Honest judgement of a fine-tuning: exams with rules instead of impressions, asked before and after.
 *
 * <p>Read {@link dev.finetune4j.lora.eval.BeforeAfter} first. Imports {@code core.generate} for its
 * {@link dev.finetune4j.core.generate.ChatModel}; applications and examples import it.
 */
@NullMarked
package dev.finetune4j.lora.eval;

import org.jspecify.annotations.NullMarked;
