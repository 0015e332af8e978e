package dev.finetune4j.core.text;

/**
 * A stretch of a laid-out conversation.
 *
 * @param text what stands there; in the template's own text the slots {@link ChatTemplate#BOS} and
 *     {@link ChatTemplate#EOS} stand for the tokenizer's begin and end token
 * @param content whether the text is that of a message although it spells a special token or a slot: then it is neither
 * @param trained whether it belongs to an assistant's answer or its end, which training teaches the model to write
 */
public record Segment(String text, boolean content, boolean trained) {}
