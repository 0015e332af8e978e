/**
 * Evaluation of a fine-tuning: the same tasks for the base and the tuned model, with how sure the difference is.
 *
 * <p>Read {@link dev.finetune4j.lora.eval.Evaluation} first, then {@link dev.finetune4j.lora.eval.EvalTask}. A task measures one model
 * and gives an {@link dev.finetune4j.lora.eval.EvalResult}: each item adds counts to sums of which the figure is a function, so that
 * shares, means, the BLEU of a corpus and perplexity have intervals and paired tests by the same few lines. An
 * {@link dev.finetune4j.lora.eval.EvalReport} compares two of them, task by task.
 *
 * <p>Imports {@code core.generate} for its {@link dev.finetune4j.core.generate.ChatModel} and the reports of {@code lora.train};
 * applications and the facade import it.
 */
@NullMarked
package dev.finetune4j.lora.eval;

import org.jspecify.annotations.NullMarked;
