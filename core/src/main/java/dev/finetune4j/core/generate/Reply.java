package dev.finetune4j.core.generate;

/**
 * One answer of a chat.
 *
 * @param text the answer without its end token
 * @param promptTokens tokens of the conversation up to the answer
 * @param reusedTokens how many of those were still in the cache and cost nothing
 * @param newTokens tokens of the answer
 * @param reason why it ended
 */
public record Reply(String text, int promptTokens, int reusedTokens, int newTokens, FinishReason reason) {}
