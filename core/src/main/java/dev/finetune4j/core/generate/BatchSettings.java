package dev.finetune4j.core.generate;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.message.SetOnce;
import java.util.ArrayList;
import java.util.List;

/**
 * How many texts a model generates at once (continuous batching: a text joins the others at any token and leaves when it has
 * ended). Immutable; {@link #toBuilder} leads to a changed copy.
 *
 * @param maxRunning how many texts are generated at once, 1 to 64; further ones wait
 * @param maxWaiting how many may wait; one more is refused with {@link java.util.concurrent.RejectedExecutionException}
 * @param maxTokens for how many tokens of all running texts together, prompts and answers to be, there is memory for keys and
 *     values; texts wait until theirs is free. 0 for as many as fit into 80 % of what is free when the first text comes
 * @param prefillChunk how many tokens of a new prompt are computed between two tokens of the running texts, at least 16; on a GPU up
 *     to four times as many where several short prompts are computed together
 * @param residentWeights whether on a GPU the weights of a 4-bit base are kept in 16 bit too from the first time on that more than
 *     8 texts run at once, if that takes no more than half of the free memory: a step of many texts is then twice as fast
 * @param prefixCacheTokens for how many tokens of texts that have ended keys and values are kept, beside those of running texts, so that
 *     the next turn of a conversation, or another one with the same system message, computes only the rest; 0 for none
 */
public record BatchSettings(
        int maxRunning,
        int maxWaiting,
        long maxTokens,
        int prefillChunk,
        boolean residentWeights,
        long prefixCacheTokens) {
    /** The most texts that can be generated at once. */
    public static final int MAX_RUNNING = 64;

    private static final int MIN_CHUNK = 16;

    public BatchSettings {
        List<String> problems = new ArrayList<>();
        if (maxRunning < 1 || maxRunning > MAX_RUNNING) {
            problems.add("maxRunning must be 1 to " + MAX_RUNNING + ", but is " + maxRunning);
        }
        if (maxWaiting < 0) {
            problems.add("maxWaiting must be 0 or more, but is " + maxWaiting);
        }
        if (maxTokens < 0) {
            problems.add("maxTokens must be 0 (what fits) or more, but is " + maxTokens);
        }
        if (prefillChunk < MIN_CHUNK) {
            problems.add("prefillChunk must be at least " + MIN_CHUNK + ", but is " + prefillChunk);
        }
        if (prefixCacheTokens < 0) {
            problems.add("prefixCacheTokens must be 0 (nothing is kept) or more, but is " + prefixCacheTokens);
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** 64 texts at once, any number waiting, as much memory as is free, prompts in pieces of 512 tokens, weights kept in 16 bit where that fits, nothing kept of texts that have ended. */
    public static BatchSettings defaults() {
        return new BatchSettings(MAX_RUNNING, Integer.MAX_VALUE, 0, 512, true, 0);
    }

    /** Settings in the making, which start as {@link #defaults}. */
    public static Builder builder() {
        return defaults().toBuilder();
    }

    /** Settings in the making, which start as these. */
    public Builder toBuilder() {
        return new Builder(this);
    }

    /** Makes settings. Each method sets the component of its name, once; a second call is an {@link IllegalStateException}. */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private int maxRunning;
        private int maxWaiting;
        private long maxTokens;
        private int prefillChunk;
        private boolean residentWeights;
        private long prefixCacheTokens;

        private Builder(BatchSettings from) {
            maxRunning = from.maxRunning;
            maxWaiting = from.maxWaiting;
            maxTokens = from.maxTokens;
            prefillChunk = from.prefillChunk;
            residentWeights = from.residentWeights;
            prefixCacheTokens = from.prefixCacheTokens;
        }

        /** Sets {@link BatchSettings#maxRunning}. */
        public Builder maxRunning(int value) {
            maxRunning = once.set("maxRunning", value);
            return this;
        }

        /** Sets {@link BatchSettings#maxWaiting}. */
        public Builder maxWaiting(int value) {
            maxWaiting = once.set("maxWaiting", value);
            return this;
        }

        /** Sets {@link BatchSettings#maxTokens}. */
        public Builder maxTokens(long value) {
            maxTokens = once.set("maxTokens", value);
            return this;
        }

        /** Sets {@link BatchSettings#prefillChunk}. */
        public Builder prefillChunk(int value) {
            prefillChunk = once.set("prefillChunk", value);
            return this;
        }

        /** Sets {@link BatchSettings#residentWeights}. */
        public Builder residentWeights(boolean value) {
            residentWeights = once.set("residentWeights", value);
            return this;
        }

        /** Sets {@link BatchSettings#prefixCacheTokens}. */
        public Builder prefixCacheTokens(long value) {
            prefixCacheTokens = once.set("prefixCacheTokens", value);
            return this;
        }

        /**
         * The settings.
         *
         * @throws SettingsException if some are out of range; the message names all of them
         */
        public BatchSettings build() {
            return new BatchSettings(
                    maxRunning, maxWaiting, maxTokens, prefillChunk, residentWeights, prefixCacheTokens);
        }
    }
}
