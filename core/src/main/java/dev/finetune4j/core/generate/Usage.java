package dev.finetune4j.core.generate;

/**
 * The tokens of a reply, as OpenAI's {@code usage} counts them.
 *
 * @param promptTokens of the conversation up to the answer
 * @param cachedTokens how many of those were still in the prompt cache and cost nothing
 * @param completionTokens of the answer, its thoughts and calls of tools included and its end token not
 * @param reasoningTokens how many of those were thoughts
 */
public record Usage(int promptTokens, int cachedTokens, int completionTokens, int reasoningTokens) {
    /** Prompt and answer together. */
    public int totalTokens() {
        return promptTokens + completionTokens;
    }
}
