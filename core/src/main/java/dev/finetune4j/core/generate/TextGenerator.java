package dev.finetune4j.core.generate;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.Set;
import java.util.function.IntConsumer;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * Continues a sequence of tokens: the prompt goes through the model once, then one token at a time on the cache.
 *
 * <p>Thread-safe; each call needs a cache of its own.
 */
public final class TextGenerator {
    /**
     * What a generation produced.
     *
     * @param ids the new tokens without the end token
     * @param reason why it ended
     */
    public record Generation(int[] ids, StopReason reason) {}

    private final CausalLM model;
    private final Set<Integer> stopIds;

    /** @param stopIds tokens that end the generation and are not part of its result */
    public TextGenerator(CausalLM model, Set<Integer> stopIds) {
        this.model = model;
        this.stopIds = Set.copyOf(stopIds);
    }

    /**
     * Generates until an end token, a limit or an interrupt of the thread.
     *
     * @param prompt ids of the whole text so far, at least one
     * @param cache holds the first {@code cache.length()} of them, fewer than all; on return it holds all ids but the last
     *     generated one
     * @param settings limits and sampling
     * @param sink gets each new id as soon as it is chosen
     * @throws FineTune4jException when the prompt is longer than the model's context
     * @throws dev.finetune4j.core.OutOfDeviceMemoryException when memory runs out; the cache is no longer of use then
     */
    public Generation generate(int[] prompt, KvCache cache, GenerationSettings settings, IntConsumer sink) {
        int context = model.contextLength();
        if (prompt.length == 0 || cache.length() >= prompt.length) {
            throw new IllegalArgumentException("the prompt needs at least one token that is not in the cache; it has "
                    + prompt.length + " and the cache holds " + cache.length());
        }
        if (prompt.length >= context) {
            throw new FineTune4jException("the conversation has " + prompt.length
                    + " tokens, but the model was made for " + context + "; start a new one or shorten the message");
        }
        Sampler sampler = new Sampler(settings);
        int[] ids = Arrays.copyOf(prompt, (int) Math.min(context, prompt.length + (long) settings.maxNewTokens()));
        int length = prompt.length;
        int fed = Math.toIntExact(cache.length());
        while (length < ids.length) {
            if (Thread.currentThread().isInterrupted()) {
                return result(ids, prompt.length, length, StopReason.INTERRUPTED);
            }
            float[] logits = logits(Arrays.copyOfRange(ids, fed, length), cache);
            fed = length;
            int id = sampler.next(logits, ids, length);
            if (stopIds.contains(id)) {
                return result(ids, prompt.length, length, StopReason.END_TOKEN);
            }
            ids[length++] = id;
            sink.accept(id);
        }
        boolean limited = length - prompt.length == settings.maxNewTokens();
        return result(ids, prompt.length, length, limited ? StopReason.MAX_NEW_TOKENS : StopReason.CONTEXT_FULL);
    }

    private static Generation result(int[] ids, int from, int to, StopReason reason) {
        return new Generation(Arrays.copyOfRange(ids, from, to), reason);
    }

    private float[] logits(int[] ids, KvCache cache) {
        long past = cache.positions();
        try {
            return lastLogits(ids, cache);
        } catch (RuntimeException e) {
            throw MemoryErrors.typed(
                    e,
                    model.placement().device(),
                    "generating from " + ids.length + " tokens behind " + past + " others");
        }
    }

    private float[] lastLogits(int[] ids, KvCache cache) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            long[] wide = Arrays.stream(ids).asLongStream().toArray();
            Tensor hidden = model.hidden(model.tokens(wide, 1, ids.length), cache); // (1, T, D)
            Tensor last = hidden.narrow(1, ids.length - 1L, 1);
            return Tensors.toFloats(model.logits(last)); // (V)
        }
    }
}
