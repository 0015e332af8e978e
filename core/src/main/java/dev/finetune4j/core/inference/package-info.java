/**
 * From a conversation to text: {@link dev.finetune4j.core.inference.ChatPipeline} is the whole path, template to tokens to
 * answer; {@link dev.finetune4j.core.inference.PromptCache} keeps keys and values of what was computed with their ids; {@link
 * dev.finetune4j.core.inference.TokenGenerator} runs the one-token loop and {@link dev.finetune4j.core.inference.TokenChooser}
 * with its {@link dev.finetune4j.core.inference.Sampler} chooses each token; {@link dev.finetune4j.core.inference.InferenceSession} computes the logits, by the model's own pass or by a decoder
 * of single tokens. A reply that comes while others are in progress goes to the {@link dev.finetune4j.core.inference.Batcher} of
 * its base: a thread in which {@link dev.finetune4j.core.inference.BatchEngine} lets texts in, computes pieces of their prompts and
 * one token of each at a time; a {@link dev.finetune4j.core.inference.QueuedReply} takes the tokens to the reader's thread, so that no
 * reader holds up the others. There or here, a {@link dev.finetune4j.core.inference.ReplyWriter} makes the reply of them. An {@link
 * dev.finetune4j.core.inference.AnswerParser} tells thoughts, text and calls of tools apart, and a {@link
 * dev.finetune4j.core.inference.TokenConstraint} keeps a text to a grammar of {@code core.grammar}; {@link
 * dev.finetune4j.core.inference.PrefixCaches} keep what was computed for prompts that begin alike.
 *
 * <p>Imports {@code core.generate}, {@code core.grammar}, {@code core.model}, {@code core.decode}, {@code core.nn}, {@code core.text} and {@code
 * core.tensor}; the facade imports it. Read {@code ChatPipeline.reply} first.
 */
@NullMarked
package dev.finetune4j.core.inference;

import org.jspecify.annotations.NullMarked;
