/**
 * What an application says to a model and gets back: {@link dev.finetune4j.core.generate.ChatModel} answers, {@link
 * dev.finetune4j.core.generate.ChatSession} keeps a conversation, {@link dev.finetune4j.core.generate.GenerationSettings} say how
 * tokens are chosen, and {@link dev.finetune4j.core.generate.Reply} tells how an answer ended. {@link
 * dev.finetune4j.core.generate.Completion} is a reply in the making, {@link dev.finetune4j.core.generate.BatchSettings} limit how
 * many there are.
 *
 * <p>Imports {@code core.text} and the exceptions of {@code core}. {@code core.inference} implements it; the facade, {@code
 * lora.eval} and applications import it.
 */
@NullMarked
package dev.finetune4j.core.generate;

import org.jspecify.annotations.NullMarked;
