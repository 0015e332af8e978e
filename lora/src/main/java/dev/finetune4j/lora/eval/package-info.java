/**
 * Evaluation of a fine-tuning: test questions with rules that tell a correct answer, asked before and after.
 *
 * <p>Read {@link dev.finetune4j.lora.eval.ComparisonReport} first. Imports {@code core.generate} for its
 * {@link dev.finetune4j.core.generate.ChatModel}; applications and examples import it.
 */
@NullMarked
package dev.finetune4j.lora.eval;

import org.jspecify.annotations.NullMarked;
