/**
 * What an application says to a model and gets back: a {@link dev.finetune4j.core.generate.ChatRequest} goes to a {@link
 * dev.finetune4j.core.generate.ChatModel}, and a {@link dev.finetune4j.core.generate.Reply} comes back, as a whole or in {@link
 * dev.finetune4j.core.generate.ReplyDelta pieces}; {@link dev.finetune4j.core.generate.ChatSession} keeps a conversation, {@link
 * dev.finetune4j.core.generate.GenerationSettings} say how tokens are chosen, {@link dev.finetune4j.core.generate.ResponseFormat} what
 * the text is kept to. {@link dev.finetune4j.core.generate.Completion} is a reply in the making, {@link
 * dev.finetune4j.core.generate.BatchSettings} limit how many there are. {@link dev.finetune4j.core.generate.ScoringModel} tells how
 * likely a given text is.
 *
 * <p>Imports {@code core.text}, {@code core.grammar} and the exceptions of {@code core}. {@code core.inference} implements it; the facade, {@code
 * lora.eval} and applications import it.
 */
@NullMarked
package dev.finetune4j.core.generate;

import org.jspecify.annotations.NullMarked;
