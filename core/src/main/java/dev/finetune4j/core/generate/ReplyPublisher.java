package dev.finetune4j.core.generate;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** Answers a request anew for each subscriber, by the rules of <a href="https://www.reactive-streams.org/">Reactive Streams</a>. */
record ReplyPublisher(ChatModel model, ChatRequest request) implements Flow.Publisher<ReplyDelta> {
    @Override
    public void subscribe(Flow.Subscriber<? super ReplyDelta> subscriber) {
        if (subscriber == null) {
            throw new NullPointerException("the subscriber is null");
        }
        Subscribed subscribed = new Subscribed(subscriber);
        subscriber.onSubscribe(subscribed);
        subscribed.begin(model, request);
    }

    /** One subscriber with the pieces that it has not asked for yet; its methods are called by one thread at a time. */
    private static final class Subscribed implements Flow.Subscription {
        private final Flow.Subscriber<? super ReplyDelta> subscriber;
        private final Deque<ReplyDelta> pieces = new ArrayDeque<>();
        /** Calls of {@link #signal} that came while one was at work. */
        private final AtomicInteger signals = new AtomicInteger();

        private long wanted;
        private boolean ended;
        private boolean cancelled;
        private @Nullable Throwable failure;
        private @Nullable Completion completion;

        Subscribed(Flow.Subscriber<? super ReplyDelta> subscriber) {
            this.subscriber = subscriber;
        }

        void begin(ChatModel model, ChatRequest request) {
            if (isCancelled()) {
                return;
            }
            try {
                Completion begun = model.submit(request, this::add);
                synchronized (this) {
                    completion = begun;
                }
                if (isCancelled()) {
                    begun.cancel();
                }
                begun.stage().whenComplete((reply, thrown) -> end(thrown));
            } catch (RuntimeException e) {
                end(e);
            }
        }

        private void add(ReplyDelta piece) {
            synchronized (this) {
                pieces.add(piece);
            }
            signal();
        }

        private void end(@Nullable Throwable thrown) {
            synchronized (this) {
                ended = true;
                failure =
                        thrown instanceof CompletionException && thrown.getCause() != null ? thrown.getCause() : thrown;
            }
            signal();
        }

        private synchronized boolean isCancelled() {
            return cancelled;
        }

        @Override
        public void request(long count) {
            synchronized (this) {
                if (count < 1) {
                    pieces.clear();
                    ended = true;
                    failure = new IllegalArgumentException("at least one piece must be requested, but it was " + count);
                } else {
                    wanted = wanted + count < 0 ? Long.MAX_VALUE : wanted + count;
                }
            }
            signal();
        }

        @Override
        public void cancel() {
            Completion begun;
            synchronized (this) {
                cancelled = true;
                pieces.clear();
                begun = completion;
            }
            if (begun != null) {
                begun.cancel();
            }
        }

        private void signal() {
            if (signals.getAndIncrement() > 0) {
                return;
            }
            int seen;
            do {
                seen = signals.get();
                while (deliverOne()) {
                    // Until nothing is left that may be delivered.
                }
            } while (signals.addAndGet(-seen) > 0);
        }

        private boolean deliverOne() {
            ReplyDelta piece = null;
            Throwable thrown;
            synchronized (this) {
                if (cancelled) {
                    return false;
                }
                thrown = failure;
                if (!pieces.isEmpty()) {
                    if (wanted == 0) {
                        return false;
                    }
                    wanted--;
                    piece = pieces.remove();
                } else if (ended) {
                    cancelled = true;
                } else {
                    return false;
                }
            }
            if (piece != null) {
                handOver(piece);
            } else if (thrown != null) {
                cancelQuietly();
                subscriber.onError(thrown);
            } else {
                subscriber.onComplete();
            }
            return piece != null;
        }

        /** What a subscriber throws, against the rules, goes to whoever asked, and ends the reply. */
        private void handOver(ReplyDelta piece) {
            try {
                subscriber.onNext(piece);
            } catch (RuntimeException | Error e) {
                cancel();
                throw e;
            }
        }

        private void cancelQuietly() {
            Completion begun;
            synchronized (this) {
                begun = completion;
            }
            if (begun != null) {
                begun.cancel();
            }
        }
    }
}
