/**
 * From a prompt to text: {@link dev.finetune4j.core.generate.ChatSession} keeps a conversation,
 * {@link dev.finetune4j.core.generate.TokenGenerator} runs the one-token loop, and
 * {@link dev.finetune4j.core.generate.Sampler} chooses each token; {@link dev.finetune4j.core.generate.InferenceSession} computes
 * the logits, by the model's own pass or by a captured CUDA graph.
 *
 * <p>Imports {@code core.model}, {@code core.decode}, {@code core.nn}, {@code core.text} and {@code core.tensor}; the facade,
 * {@code lora.eval} and applications import it. Read {@code ChatSession.reply} first: it is the whole path.
 */
@NullMarked
package dev.finetune4j.core.generate;

import org.jspecify.annotations.NullMarked;
