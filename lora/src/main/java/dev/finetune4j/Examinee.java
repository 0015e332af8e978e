package dev.finetune4j;

import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ScoringModel;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.Example;
import dev.finetune4j.lora.eval.EvaluableModel;
import dev.finetune4j.lora.eval.score.SequenceScorer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A model in the middle of its training, which answers and scores within the memory that a step has left: keys and values of a token take no
 * more than twice what a block that recomputes keeps of it, so half as many tokens as a micro-batch has are in the air at once.
 *
 * @param model answers
 * @param scorer scores, as many tokens at once as a micro-batch has
 * @param stepTokens tokens of the largest micro-batch
 */
record Examinee(ScoringModel model, SequenceScorer scorer, long stepTokens) implements EvaluableModel {
    /** More texts at once would let a batch on a GPU keep 4-bit weights in 16 bit beside them. */
    private static final int MAX_RUNNING = 8;

    /** An answer that was begun, and for how many tokens it takes room. */
    private record Begun(Completion completion, long tokens) {}

    /** @param view the adapter that is trained, as it is now; null for the model itself */
    static Examinee of(LanguageModel base, @Nullable Adapter view, long stepTokens) {
        return new Examinee(
                view == null ? base : view,
                base.scorer(view == null ? base.model() : view.view(), stepTokens),
                stepTokens);
    }

    @Override
    public List<Reply> generate(List<ChatRequest> requests) {
        List<Reply> replies = new ArrayList<>();
        Deque<Begun> running = new ArrayDeque<>();
        long tokens = 0;
        try {
            for (ChatRequest request : requests) {
                long prompt = model.countTokens(request.conversation());
                long needed = rounded(prompt + request.settings().maxNewTokens());
                while (!running.isEmpty() && (running.size() == MAX_RUNNING || 2 * (tokens + needed) > stepTokens)) {
                    tokens -= running.element().tokens();
                    replies.add(running.element().completion().join());
                    running.remove();
                }
                running.add(new Begun(model.submit(request, piece -> {}), needed));
                tokens += needed;
            }
            while (!running.isEmpty()) {
                replies.add(running.element().completion().join());
                running.remove();
            }
            return replies;
        } finally {
            running.forEach(begun -> begun.completion().cancel());
        }
    }

    /** Buffers of keys and values grow by doubling. */
    private static long rounded(long tokens) {
        return tokens <= 1 ? 1 : Long.highestOneBit(tokens - 1) * 2;
    }

    @Override
    public List<List<TokenLogprob>> score(List<? extends Example> examples) {
        return scorer.score(examples);
    }

    @Override
    public Reply reply(ChatRequest request) {
        return model.reply(request);
    }

    @Override
    public List<TokenLogprob> score(String text) {
        return model.score(text);
    }

    @Override
    public List<TokenLogprob> score(Conversation conversation) {
        return model.score(conversation);
    }

    @Override
    public int countTokens(String text) {
        return model.countTokens(text);
    }

    @Override
    public int countTokens(Conversation conversation) {
        return model.countTokens(conversation);
    }
}
