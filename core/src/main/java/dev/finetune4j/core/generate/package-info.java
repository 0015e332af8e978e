/**
 * From a prompt to text: {@link dev.finetune4j.core.generate.ChatSession} keeps a conversation,
 * {@link dev.finetune4j.core.generate.TextGenerator} runs the one-token loop, and
 * {@link dev.finetune4j.core.generate.Sampler} chooses each token.
 *
 * <p>Imports {@code core.model}, {@code core.nn}, {@code core.text} and {@code core.tensor}; the facade,
 * {@code lora.eval} and applications import it. Read {@code ChatSession.reply} first: it is the whole path.
 */
@NullMarked
package dev.finetune4j.core.generate;

import org.jspecify.annotations.NullMarked;
