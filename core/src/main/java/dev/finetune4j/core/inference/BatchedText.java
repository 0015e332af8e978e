package dev.finetune4j.core.inference;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.kernel.DecodeRow;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A text that a {@link Batcher} continues beside others: its tokens, what the model remembers of them, and what chooses them. Belongs to
 * the batcher's thread between submission and end; only {@link #cancel} is for others.
 */
final class BatchedText {
    /** Is told what becomes of a text, by the batcher's thread, which waits for it. The end is told once. */
    interface Listener {
        /** Another token was chosen; with what is to be told about it, null for nothing. */
        void token(int id, @Nullable Likelihoods likelihoods);

        /** There are no more tokens. */
        void ended(FinishReason reason);

        /** Something went wrong. */
        void failed(RuntimeException cause);
    }

    private final CausalLM model;
    private final PromptCache cache;
    private final KvCache memory;
    private final TokenChooser chooser;
    private final Listener listener;
    private final int maxNewTokens;
    private final int promptLength;
    private final int[] ids;
    private int length;
    private volatile @Nullable FinishReason cancelled;

    /**
     * @param model the base or an adapter's view of it
     * @param prompt ids of the whole text so far
     * @param cache remembers some of their beginning, fewer than all; stays the caller's, who leaves it alone until the end
     * @param chooser chooses its tokens
     * @throws FineTune4jException when the prompt is longer than the model's context
     */
    BatchedText(
            CausalLM model,
            int[] prompt,
            PromptCache cache,
            int maxNewTokens,
            TokenChooser chooser,
            Listener listener) {
        TokenGenerator.requireFits(model, prompt);
        this.model = model;
        this.cache = cache;
        this.memory = cache.memory();
        this.chooser = chooser;
        this.listener = listener;
        this.maxNewTokens = maxNewTokens;
        this.promptLength = prompt.length;
        this.ids = Arrays.copyOf(prompt, (int) Math.min(model.contextLength(), prompt.length + (long) maxNewTokens));
        this.length = prompt.length;
        cache.prepare(length);
    }

    CausalLM model() {
        return model;
    }

    /**
     * Makes room for all that the text may become; called by the thread whose stream of a GPU what is there belongs to, so that
     * nothing is freed while another stream still copies it.
     */
    void reserve() {
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Attention.Shape shape = model.config().attention();
            ScalarType type = Tensors.typeOf(model.placement().precision());
            Tensor like = Tensors.empty(model.placement().device(), type, 1, shape.kvHeads(), 0, shape.headDim());
            memory.reserve(positions(), like);
        }
    }

    /** Before another thread goes on: what is remembered already is there when this returns, with room for the rest. */
    void handOver() {
        if (memory.positions() > 0) {
            reserve();
            try (TensorScope scope = new TensorScope()) {
                // A number that is read has waited for what was asked before.
                Tensors.toFloats(memory.keys(0).flatten().narrow(0, 0, 1));
            }
        }
    }

    KvCache memory() {
        return memory;
    }

    Listener listener() {
        return listener;
    }

    /** Positions that the text has at its end, those of virtual tokens included. */
    long positions() {
        return memory.virtual() + ids.length;
    }

    /** Ends it before its next token. */
    void cancel(FinishReason reason) {
        cancelled = reason;
    }

    @Nullable
    FinishReason cancelled() {
        return cancelled;
    }

    /** How many tokens the model has not seen yet; 1 when the text waits for its next token only. */
    int pending() {
        return length - fed();
    }

    /** Forgets what was computed when the text has become so long that all of it is computed otherwise. */
    void followLength() {
        if (!cache.goesOnTo(length)) {
            cache.prepare(length);
        }
    }

    private int fed() {
        return Math.toIntExact(cache.length());
    }

    /**
     * Feeds more of the prompt by a model's ordinary pass; after its last token the next one is chosen.
     *
     * @param by the model, or one that computes the same
     * @param most how many tokens
     * @return the chosen token; -1 when there is more to feed
     */
    int prefill(CausalLM by, int most) {
        int count = Math.min(most, pending());
        boolean last = count == pending();
        int[] more = Arrays.copyOfRange(ids, fed(), fed() + count);
        cache.note(more);
        float[] logits = ForwardSession.feed(by, memory, more);
        return last ? choose(logits) : -1;
    }

    /** Whether the model remembers nothing of the text, nor virtual tokens before it. */
    boolean isUntouched() {
        return memory.positions() == 0;
    }

    /**
     * Notes the tokens of a prompt of which the model remembers nothing yet and which it is given now.
     *
     * @return all of them
     */
    int[] wholePrompt() {
        int[] prompt = Arrays.copyOf(ids, length);
        cache.note(prompt);
        return prompt;
    }

    /** The row of a step that feeds the last token. */
    DecodeRow row() {
        memory.requireGoesOn(1);
        return new DecodeRow(memory.positions(), ids[length - 1], memory, 0);
    }

    /** Notes that a step has fed the last token. */
    void stepped() {
        cache.note(ids[length - 1]);
        memory.advance(1);
    }

    boolean takesArgmax() {
        return chooser.takesArgmax(length);
    }

    /** Chooses from the logits after the last token. */
    int choose(float[] logits) {
        return chooser.choose(logits, ids, length);
    }

    /**
     * Takes up a chosen token.
     *
     * @return why the text has ended with it; null when it goes on
     */
    @Nullable
    FinishReason accept(int id) {
        if (chooser.isEnd(id)) {
            return FinishReason.STOP;
        }
        ids[length++] = id;
        listener.token(id, chooser.likelihoods());
        if (chooser.completes(id)) {
            return FinishReason.STOP;
        }
        if (length < ids.length) {
            return null;
        }
        return length - promptLength == maxNewTokens ? FinishReason.LENGTH : FinishReason.CONTEXT_LENGTH;
    }
}
