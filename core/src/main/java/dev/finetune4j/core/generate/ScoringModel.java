package dev.finetune4j.core.generate;

import dev.finetune4j.core.text.Conversation;
import java.util.List;

/** A model whose probabilities can be asked for: those of this library. Thread-safe, beside replies too. */
public interface ScoringModel extends ChatModel {
    /**
     * How likely the model holds a text: the probability of each token given those before it. The first token of all has none
     * before it and is left out; where the tokenizer begins texts with a token of its own, that is this token. The mean over all,
     * negated, is the loss, and {@code exp} of that the perplexity.
     *
     * @param text is no conversation; special tokens in it are recognised
     * @return one for each token; without {@link TokenLogprob#top}
     * @throws dev.finetune4j.core.FineTune4jException when the text is longer than the model's context
     * @throws IllegalStateException if the model is closed
     */
    List<TokenLogprob> score(String text);

    /**
     * How likely the model holds the last answer of a conversation, with the token that ends it, after all that stands before. The
     * sum is the log-probability that preferences are judged by.
     *
     * @param conversation its last message is an answer
     * @return one for each token of the answer; without {@link TokenLogprob#top}
     * @throws IllegalArgumentException if the last message is not the assistant's, or the chat template cannot write the
     *     conversation
     * @throws dev.finetune4j.core.FineTune4jException when the conversation is longer than the model's context
     * @throws IllegalStateException if the model is closed
     */
    List<TokenLogprob> score(Conversation conversation);

    /** How many tokens a text has, special tokens that the tokenizer puts around it included. */
    int countTokens(String text);

    /**
     * How many tokens a conversation has as a prompt, to where the answer begins: {@link Usage#promptTokens} of a reply to it.
     *
     * @throws IllegalArgumentException if the chat template cannot write the conversation
     */
    int countTokens(Conversation conversation);
}
