package dev.finetune4j.core.inference;

import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.GenerationSettings;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Chooses the tokens of one text, by its settings and with what is to be told about them. Serves one thread at a time. */
final class TokenChooser {
    private final GenerationSettings settings;
    private final Sampler sampler;
    private final Set<Integer> stopIds;
    private final int promptLength;
    private final int topLogprobs;
    private final @Nullable TokenConstraint constraint;
    private @Nullable Likelihoods likelihoods;

    /**
     * @param stopIds tokens that end the text
     * @param promptLength how many tokens stand before the first that is chosen
     * @param topLogprobs as {@link ChatRequest#topLogprobs}
     * @param constraint what the text is kept to; null for nothing
     */
    TokenChooser(
            GenerationSettings settings,
            Set<Integer> stopIds,
            int promptLength,
            int topLogprobs,
            @Nullable TokenConstraint constraint) {
        this.settings = settings;
        this.sampler = new Sampler(settings);
        this.stopIds = stopIds;
        this.promptLength = promptLength;
        this.topLogprobs = topLogprobs;
        this.constraint = constraint;
    }

    /** Whether the token behind so many is the argmax of the logits, of which nothing else is wanted. */
    boolean takesArgmax(int length) {
        return topLogprobs == ChatRequest.NO_LOGPROBS
                && sampler.takesArgmax()
                && !isTooShort(length)
                && !isConstrained();
    }

    private boolean isConstrained() {
        return constraint != null && constraint.isActive();
    }

    private boolean isTooShort(int length) {
        return length - promptLength < settings.minNewTokens();
    }

    /**
     * The token behind others.
     *
     * @param logits (V); changed by the call
     * @param ids of the text so far
     * @param length how many of them count
     * @throws dev.finetune4j.core.FineTune4jException when no logit is a number, or the rules forbid every token
     */
    int choose(float[] logits, int[] ids, int length) {
        if (takesArgmax(length)) {
            return Sampler.argmax(logits);
        }
        if (topLogprobs == ChatRequest.NO_LOGPROBS) {
            return sampler.next(logits, ids, length, further(length));
        }
        Sampler.argmax(logits);
        float[] own = logits.clone();
        int id = sampler.next(logits, ids, length, further(length));
        likelihoods = Likelihoods.of(own, id, topLogprobs);
        return id;
    }

    private Consumer<float[]> further(int length) {
        boolean isTooShort = isTooShort(length);
        return logits -> {
            if (isTooShort) {
                forbidEnds(logits);
            }
            if (constraint != null) {
                constraint.forbid(logits, stopIds);
            }
        };
    }

    private void forbidEnds(float[] logits) {
        for (int id : stopIds) {
            if (id < logits.length) {
                logits[id] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    /** Whether a token ends the text. */
    boolean isEnd(int id) {
        return stopIds.contains(id);
    }

    /** Takes up the token that was chosen; says whether the text is complete with it. */
    boolean completes(int id) {
        if (constraint == null) {
            return false;
        }
        constraint.accept(id);
        return constraint.isComplete();
    }

    /** What is to be told about the token that was chosen last; null for nothing. */
    @Nullable
    Likelihoods likelihoods() {
        return likelihoods;
    }
}
