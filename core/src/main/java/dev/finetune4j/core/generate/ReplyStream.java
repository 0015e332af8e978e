package dev.finetune4j.core.generate;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.LinkedBlockingQueue;
import org.jspecify.annotations.Nullable;

/**
 * The pieces of a reply in the making, for one loop. Pieces that are not taken yet are kept. An interrupt of the thread in the loop
 * cancels the reply, and the loop ends; the flag stays set. Closing it before the end cancels the reply too.
 *
 * <p>The loop throws what ended the reply, as {@link Completion#join} does. It serves one thread; closing is for any.
 */
public final class ReplyStream implements Iterable<ReplyDelta>, AutoCloseable {
    /** Null for the end. */
    private record Item(@Nullable ReplyDelta delta) {}

    private final LinkedBlockingQueue<Item> items = new LinkedBlockingQueue<>();
    private final Completion completion;
    private boolean begun;
    private @Nullable Item next;

    ReplyStream(ChatModel model, ChatRequest request) {
        completion = model.submit(request, delta -> items.add(new Item(delta)));
        completion.stage().whenComplete((reply, failure) -> items.add(new Item(null)));
    }

    /**
     * The pieces, each as soon as it is there.
     *
     * @throws IllegalStateException when called again
     */
    @Override
    public Iterator<ReplyDelta> iterator() {
        if (begun) {
            throw new IllegalStateException("the pieces of a reply can be taken once; ask the model again");
        }
        begun = true;
        return new Iterator<>() {
            @Override
            public boolean hasNext() {
                return peek() != null;
            }

            @Override
            public ReplyDelta next() {
                ReplyDelta delta = peek();
                if (delta == null) {
                    throw new NoSuchElementException("the reply has ended");
                }
                next = null;
                return delta;
            }
        };
    }

    private @Nullable ReplyDelta peek() {
        if (next == null) {
            next = take();
        }
        if (next.delta() == null) {
            completion.join();
        }
        return next.delta();
    }

    private Item take() {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return items.take();
                } catch (InterruptedException e) {
                    interrupted = true;
                    completion.cancel();
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Waits for the whole reply, as {@link Completion#join} does. */
    public Reply reply() {
        return completion.join();
    }

    /** Cancels the reply if it has not ended. Closing twice is fine. */
    @Override
    public void close() {
        completion.cancel();
    }
}
