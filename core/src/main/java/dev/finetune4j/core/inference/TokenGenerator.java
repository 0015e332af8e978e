package dev.finetune4j.core.inference;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.MemoryErrors;
import java.util.Arrays;
import java.util.Set;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Continues a sequence of tokens: the prompt goes through the model once, then one token at a time on the cache. Where the text
 * becomes so long that the rotary frequencies change for all of it ({@link dev.finetune4j.core.nn.RopeScaling.LongRope}), it goes
 * through the model once more.
 *
 * <p>Thread-safe; each call needs an inference session of its own.
 */
public final class TokenGenerator {
    /**
     * What a generation produced.
     *
     * @param ids the new tokens without the end token
     * @param reason why it ended
     */
    public record Generation(int[] ids, FinishReason reason) {}

    /** Takes the tokens as they are chosen. */
    interface TokenSink {
        /**
         * Takes the next one.
         *
         * @param likelihoods what is to be told about it; null for nothing
         * @return whether the text goes on
         */
        boolean accept(int id, @Nullable Likelihoods likelihoods);
    }

    private final CausalLM model;
    private final Set<Integer> stopIds;

    /** @param stopIds tokens that end the generation and are not part of its result */
    public TokenGenerator(CausalLM model, Set<Integer> stopIds) {
        this.model = model;
        this.stopIds = Set.copyOf(stopIds);
    }

    /**
     * Generates by the model's own forward pass; see {@link #generate(int[], InferenceSession, GenerationSettings, IntConsumer)}.
     *
     * @param cache holds the first {@code cache.length()} of the prompt's ids, fewer than all; stays the caller's
     */
    public Generation generate(int[] prompt, KvCache cache, GenerationSettings settings, IntConsumer sink) {
        return generate(prompt, new ForwardSession(model, cache, null), settings, sink);
    }

    /**
     * Generates until an end token, a limit or an interrupt of the thread.
     *
     * @param prompt ids of the whole text so far, at least one
     * @param text of the same model, remembers the first {@code text.length()} of them, fewer than all; on return it
     *     remembers all ids but the last generated one
     * @param settings limits and sampling
     * @param sink gets each new id as soon as it is chosen
     * @throws FineTune4jException when the prompt is longer than the model's context
     * @throws IllegalStateException if the session, the model or its adapter is closed, at the latest at the next token
     * @throws dev.finetune4j.core.OutOfDeviceMemoryException when memory runs out; the session remembers what it did before
     */
    public Generation generate(int[] prompt, InferenceSession text, GenerationSettings settings, IntConsumer sink) {
        TokenChooser chooser = new TokenChooser(settings, stopIds, prompt.length, ChatRequest.NO_LOGPROBS, null);
        return generate(prompt, text, settings.maxNewTokens(), chooser, (id, likelihoods) -> {
            sink.accept(id);
            return true;
        });
    }

    /** As {@link #generate(int[], InferenceSession, GenerationSettings, IntConsumer)}, until the sink ends it with {@link FinishReason#STOP}. */
    Generation generate(int[] prompt, InferenceSession text, int maxNewTokens, TokenChooser chooser, TokenSink sink) {
        int context = model.contextLength();
        if (prompt.length == 0 || text.length() >= prompt.length) {
            throw new IllegalArgumentException("the prompt needs at least one token that is not yet remembered; it has "
                    + prompt.length + " and the inference session holds " + text.length());
        }
        requireFits(model, prompt);
        int[] ids = Arrays.copyOf(prompt, (int) Math.min(context, prompt.length + (long) maxNewTokens));
        int length = prompt.length;
        int fed = Math.toIntExact(text.prepare(length));
        while (length < ids.length) {
            if (Thread.currentThread().isInterrupted()) {
                return result(ids, prompt.length, length, FinishReason.INTERRUPTED);
            }
            if (!text.goesOnTo(length)) {
                fed = Math.toIntExact(text.prepare(length));
            }
            int id = next(text, chooser, ids, fed, length);
            fed = length;
            if (chooser.isEnd(id)) {
                return result(ids, prompt.length, length, FinishReason.STOP);
            }
            ids[length++] = id;
            boolean goesOn = sink.accept(id, chooser.likelihoods());
            if (chooser.completes(id) || !goesOn) {
                return result(ids, prompt.length, length, FinishReason.STOP);
            }
        }
        boolean limited = length - prompt.length == maxNewTokens;
        return result(ids, prompt.length, length, limited ? FinishReason.LENGTH : FinishReason.CONTEXT_LENGTH);
    }

    /**
     * Checks that there is room behind a prompt.
     *
     * @throws FineTune4jException when it is longer than the model's context
     */
    static void requireFits(CausalLM model, int[] prompt) {
        int context = model.contextLength();
        if (prompt.length >= context) {
            throw new FineTune4jException("the conversation has " + prompt.length
                    + " tokens, but the model was made for " + context + "; start a new one or shorten the message");
        }
    }

    private static Generation result(int[] ids, int from, int to, FinishReason reason) {
        return new Generation(Arrays.copyOfRange(ids, from, to), reason);
    }

    /**
     * Takes up tokens after which nothing is chosen.
     *
     * @throws dev.finetune4j.core.OutOfDeviceMemoryException when memory runs out
     */
    void prefill(InferenceSession text, int[] more) {
        try {
            text.feed(more);
        } catch (RuntimeException e) {
            throw MemoryErrors.typed(
                    e,
                    model.placement().device(),
                    "taking up " + more.length + " tokens behind " + text.length() + " others");
        }
    }

    /** Feeds the ids from {@code fed} to {@code length} and chooses the one after them. */
    private int next(InferenceSession text, TokenChooser chooser, int[] ids, int fed, int length) {
        int[] more = Arrays.copyOfRange(ids, fed, length);
        try {
            return chooser.takesArgmax(length) ? text.feedArgmax(more) : chooser.choose(text.feed(more), ids, length);
        } catch (RuntimeException e) {
            throw MemoryErrors.typed(
                    e,
                    model.placement().device(),
                    "generating from " + more.length + " tokens behind " + fed + " others");
        }
    }
}
