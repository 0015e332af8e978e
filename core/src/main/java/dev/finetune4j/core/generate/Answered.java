package dev.finetune4j.core.generate;

import dev.finetune4j.core.text.Conversation;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.function.Supplier;

/** A reply that has ended already. */
record Answered(CompletableFuture<Reply> result) implements Completion {
    /** How many replies of a list are asked for before the first has ended, so that a long list does not fill the queue. */
    private static final int AHEAD = 2 * BatchSettings.MAX_RUNNING;

    static Completion of(Supplier<Reply> answer) {
        CompletableFuture<Reply> result = new CompletableFuture<>();
        try {
            result.complete(answer.get());
        } catch (RuntimeException e) {
            result.completeExceptionally(e);
        }
        return new Answered(result);
    }

    static List<Reply> all(ChatModel model, List<Conversation> conversations, GenerationSettings settings) {
        List<Completion> begun = new ArrayList<>();
        List<Reply> replies = new ArrayList<>();
        try {
            for (Conversation conversation : conversations) {
                if (begun.size() - replies.size() == AHEAD) {
                    replies.add(begun.get(replies.size()).join());
                }
                begun.add(model.submit(conversation, settings, piece -> {}));
            }
            while (replies.size() < begun.size()) {
                replies.add(begun.get(replies.size()).join());
            }
            return replies;
        } catch (RuntimeException | Error e) {
            begun.forEach(Completion::cancel);
            throw e;
        }
    }

    @Override
    public Reply join() {
        try {
            return result.join();
        } catch (CompletionException e) {
            throw e.getCause() instanceof RuntimeException cause ? cause : e;
        }
    }

    @Override
    public void cancel() {
        // It has ended.
    }

    @Override
    public boolean isDone() {
        return true;
    }

    @Override
    public CompletionStage<Reply> stage() {
        return result;
    }
}
