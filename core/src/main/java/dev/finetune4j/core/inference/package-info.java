/**
 * From a conversation to text: {@link dev.finetune4j.core.inference.ChatPipeline} is the whole path, template to tokens to
 * answer; {@link dev.finetune4j.core.inference.PromptCache} keeps keys and values of what was computed with their ids; {@link
 * dev.finetune4j.core.inference.TokenGenerator} runs the one-token loop and {@link dev.finetune4j.core.inference.Sampler} chooses
 * each token; {@link dev.finetune4j.core.inference.InferenceSession} computes the logits, by the model's own pass or by a decoder
 * of single tokens.
 *
 * <p>Imports {@code core.generate}, {@code core.model}, {@code core.decode}, {@code core.nn}, {@code core.text} and {@code
 * core.tensor}; the facade imports it. Read {@code ChatPipeline.reply} first.
 */
@NullMarked
package dev.finetune4j.core.inference;

import org.jspecify.annotations.NullMarked;
