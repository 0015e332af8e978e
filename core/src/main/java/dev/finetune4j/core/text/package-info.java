/**
 * Text to token ids and back: the tokenizer, conversations, and the chat templates that lay a conversation out as the
 * text that a model was trained on.
 *
 * <p>Training and chat go through the same {@link dev.finetune4j.core.text.ChatEncoder}, so a prompt has the same ids
 * in both. Ids are {@code int}s; which of them are trained is a {@code boolean} beside each. What came from a message
 * is never read as a special token, whatever it looks like.
 *
 * <p>Reading order: {@link dev.finetune4j.core.text.Conversation}, {@link dev.finetune4j.core.text.ChatTemplate},
 * {@code NamedTemplate} with the sources in the resource folder {@code template}, {@code JinjaChatTemplate} with {@code TemplateRun} for the
 * templates that checkpoints bring along with {@code AssistantMask} for what they train, {@code TemplateEquivalence} that
 * tells when both are the same, {@code SpecialTokenEscapes} and {@code TemplateInjectionGuard} for what keeps messages apart
 * from special tokens, {@link dev.finetune4j.core.text.ChatEncoder}, {@link dev.finetune4j.core.text.Tokenizer}, {@link
 * dev.finetune4j.core.text.IncrementalDetokenizer}. Any package may import this one; it imports only the exceptions of {@code
 * core} and its own {@code core.text.jinja}. The native tokenizer is reached through {@code
 * NativeTokenizer} alone.
 */
@NullMarked
package dev.finetune4j.core.text;

import org.jspecify.annotations.NullMarked;
