package dev.finetune4j.core.inference;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import java.util.Arrays;
import java.util.Optional;

/**
 * A prompt cache: keys and values of a sequence of tokens together with its ids, so that of a prompt with the same beginning
 * only the rest is computed. Ids and cache are one, since what is fed here is noted here.
 *
 * <p>It serves one thread at a time and borrows the model, as {@link InferenceSession} says.
 */
final class PromptCache implements InferenceSession {
    private final InferenceSession session;
    private int[] ids = new int[0];

    /** @param session what computes and holds keys and values, still empty; closed with this */
    PromptCache(InferenceSession session) {
        this.session = session;
    }

    /**
     * An empty cache of a model.
     *
     * @throws IllegalStateException if the model or its adapter is closed
     */
    static PromptCache of(CausalLM model) {
        return new PromptCache(InferenceSession.of(model));
    }

    /**
     * Keeps the longest common prefix of what is held and a prompt, and forgets the rest. The prompt's last token is never
     * kept: its logits have to be computed. What was held for texts of other rotary frequencies is not kept either.
     *
     * @param prompt at least one id
     * @return how many of its tokens are held
     */
    int reuse(int[] prompt) {
        int kept = common(prompt);
        session.truncate(kept);
        return Math.toIntExact(session.prepare(prompt.length));
    }

    /** How many tokens of a prompt, but for its last one, are held as it has them. */
    int common(int[] prompt) {
        int held = Math.toIntExact(session.alikeIn(prompt.length));
        int common = Arrays.mismatch(ids, 0, held, prompt, 0, prompt.length - 1);
        return common < 0 ? held : common;
    }

    /**
     * A cache with the first tokens of this one, which nobody uses meanwhile. They are there when this returns.
     *
     * @param model of which this is a cache
     * @return the caller's
     * @throws IllegalStateException if the model or its adapter is closed
     */
    PromptCache copy(CausalLM model, int tokens) {
        PromptCache copy = of(model);
        try {
            copy.session.memory().copyFrom(memory(), tokens);
            copy.ids = Arrays.copyOf(ids, tokens);
            return copy;
        } catch (RuntimeException | Error e) {
            copy.close();
            throw e;
        }
    }

    @Override
    public KvCache memory() {
        return session.memory();
    }

    @Override
    public long length() {
        return session.length();
    }

    @Override
    public void truncate(long newLength) {
        session.truncate(newLength);
    }

    @Override
    public long alikeIn(long tokens) {
        return session.alikeIn(tokens);
    }

    @Override
    public long prepare(long tokens) {
        return session.prepare(tokens);
    }

    @Override
    public boolean goesOnTo(long tokens) {
        return session.goesOnTo(tokens);
    }

    @Override
    public float[] feed(int[] more) {
        note(more);
        return session.feed(more);
    }

    @Override
    public int feedArgmax(int[] more) {
        note(more);
        return session.feedArgmax(more);
    }

    @Override
    public Optional<String> undecodedReason() {
        return session.undecodedReason();
    }

    @Override
    public void idle() {
        session.idle();
    }

    /** Behind the held ones; if the pass fails, they are not held and count for nothing. */
    void note(int... more) {
        int held = Math.toIntExact(session.length());
        if (held + more.length > ids.length) {
            ids = Arrays.copyOf(ids, 2 * (held + more.length));
        }
        System.arraycopy(more, 0, ids, held, more.length);
    }

    @Override
    public void close() {
        session.close();
    }
}
