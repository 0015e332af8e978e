package dev.finetune4j.core.inference;

import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.Reply;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import org.jspecify.annotations.Nullable;

/**
 * The way of a batched text's tokens to its reader: the batcher's thread only puts them down, so that a slow sink holds up nobody but
 * itself; whoever takes them makes text of them and calls the sink.
 */
final class QueuedReply implements BatchedText.Listener, Completion {
    /** One of a token, an end and a failure. */
    private record Event(
            int token,
            @Nullable Likelihoods likelihoods,
            @Nullable FinishReason end,
            @Nullable RuntimeException failure) {}

    private final LinkedBlockingQueue<Event> events = new LinkedBlockingQueue<>();
    private final CompletableFuture<Reply> result = new CompletableFuture<>();
    private final ReplyWriter writer;
    private @Nullable Throwable thrownBySink;
    private Runnable wake = () -> {};
    private volatile @Nullable BatchedText source;

    /** @param writer is given the tokens by the thread that takes them */
    QueuedReply(ReplyWriter writer) {
        this.writer = writer;
    }

    /** Says what the tokens come from, before any does. */
    void from(BatchedText newSource) {
        source = newSource;
    }

    /** Says what is done when there is something to {@link #drain}, by the batcher's thread. */
    void onEvent(Runnable newWake) {
        wake = newWake;
    }

    @Override
    public void token(int id, @Nullable Likelihoods likelihoods) {
        put(new Event(id, likelihoods, null, null));
    }

    @Override
    public void ended(FinishReason reason) {
        put(new Event(-1, null, reason, null));
    }

    @Override
    public void failed(RuntimeException cause) {
        put(new Event(-1, null, null, cause));
    }

    private void put(Event event) {
        events.add(event);
        wake.run();
    }

    /** Takes what is there, by one thread at a time. */
    void drain() {
        for (Event event = events.poll(); event != null; event = events.poll()) {
            take(event);
        }
    }

    /** Takes all to the end, by this thread. An interrupt ends the text; the flag stays set. */
    Reply takeAll() {
        boolean interrupted = false;
        while (!result.isDone()) {
            try {
                take(events.take());
            } catch (InterruptedException e) {
                interrupted = true;
                Objects.requireNonNull(source).cancel(FinishReason.INTERRUPTED);
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        return join();
    }

    private void take(Event event) {
        if (event.failure() != null) {
            result.completeExceptionally(thrownBySink == null ? event.failure() : thrownBySink);
        } else if (event.end() != null) {
            end(event.end());
        } else if (thrownBySink == null && !writer.isStopped()) {
            accept(event);
        }
    }

    private void accept(Event event) {
        try {
            if (!writer.accept(event.token(), event.likelihoods())) {
                Objects.requireNonNull(source).cancel(FinishReason.STOP);
            }
        } catch (RuntimeException | Error e) {
            thrownBySink = e;
            cancel();
        }
    }

    private void end(FinishReason reason) {
        try {
            if (thrownBySink == null) {
                result.complete(writer.end(reason));
                return;
            }
        } catch (RuntimeException | Error e) {
            thrownBySink = e;
        }
        result.completeExceptionally(thrownBySink);
    }

    @Override
    public Reply join() {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return result.get();
                } catch (InterruptedException e) {
                    interrupted = true;
                    cancel();
                } catch (ExecutionException e) {
                    if (e.getCause() instanceof Error error) {
                        throw error;
                    }
                    throw e.getCause() instanceof RuntimeException cause ? cause : new CompletionException(e);
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    @Override
    public void cancel() {
        Objects.requireNonNull(source).cancel(FinishReason.CANCELLED);
    }

    /** Whether it has ended as it should. */
    boolean hasSucceeded() {
        return result.isDone() && !result.isCompletedExceptionally();
    }

    @Override
    public boolean isDone() {
        return result.isDone();
    }

    @Override
    public CompletionStage<Reply> stage() {
        return result.minimalCompletionStage();
    }
}
