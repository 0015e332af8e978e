package dev.finetune4j.core.generate;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.RejectedExecutionException;
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

    /** A request as often as it is asked for, each with a seed of its own. */
    static List<ChatRequest> variants(ChatRequest request, int n) {
        List<ChatRequest> variants = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            GenerationSettings.Builder settings = request.settings().toBuilder();
            settings.seed(request.settings().seed() + i);
            variants.add(request.toBuilder().settings(settings.build()).build());
        }
        return variants;
    }

    static List<Reply> all(ChatModel model, List<ChatRequest> requests) {
        List<Completion> begun = new ArrayList<>();
        List<Reply> replies = new ArrayList<>();
        try {
            for (ChatRequest request : requests) {
                if (begun.size() - replies.size() == AHEAD) {
                    replies.add(begun.get(replies.size()).join());
                }
                begun.add(submitted(model, request, begun, replies));
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

    /** Where the queue is full, the request waits for those before it. */
    private static Completion submitted(
            ChatModel model, ChatRequest request, List<Completion> begun, List<Reply> replies) {
        while (true) {
            try {
                return model.submit(request, piece -> {});
            } catch (RejectedExecutionException e) {
                if (replies.size() == begun.size()) {
                    throw e;
                }
                replies.add(begun.get(replies.size()).join());
            }
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
