package dev.finetune4j.examples.server;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** The answers to one request in the making. What comes of them is taken by one thread; closing cancels what has not ended. */
final class Generation implements AutoCloseable {
    /** Something that has come of an answer. */
    sealed interface Event {
        /** The answer's number, from 0. */
        int choice();
    }

    /** A piece of it. */
    record Piece(int choice, ReplyDelta delta) implements Event {}

    /** Its end. */
    record End(int choice, Reply reply) implements Event {}

    /** What has ended it otherwise. */
    record Failure(int choice, Throwable cause) implements Event {}

    private final BlockingQueue<Event> events = new LinkedBlockingQueue<>();
    private final List<Completion> completions = new ArrayList<>();

    private Generation() {}

    /**
     * Begins some answers to a request, answer i with a seed that is i higher.
     *
     * @param admission gives the room that each takes, until it ends
     * @throws ApiException when there is no room, or the model refuses the request
     */
    static Generation begin(ServedModel model, ChatRequest request, int choices, Admission admission) {
        Generation generation = new Generation();
        admission.enter(choices);
        int begun = 0;
        try {
            for (; begun < choices; begun++) {
                generation.add(model, variant(request, begun), begun, admission);
            }
            return generation;
        } catch (RuntimeException e) {
            throw refused(e, request);
        } finally {
            if (begun < choices) {
                admission.leave(choices - begun);
                generation.close();
            }
        }
    }

    private static ChatRequest variant(ChatRequest request, int choice) {
        return choice == 0
                ? request
                : request.toBuilder()
                        .settings(s -> s.seed(request.settings().seed() + choice))
                        .build();
    }

    private void add(ServedModel model, ChatRequest request, int choice, Admission admission) {
        Completion completion = model.submit(request, delta -> events.add(new Piece(choice, delta)));
        completions.add(completion);
        completion.stage().whenComplete((reply, failure) -> {
            admission.leave(1);
            events.add(failure == null ? new End(choice, reply) : new Failure(choice, failure));
        });
    }

    /** What the model says to a request before it begins to answer. */
    private static RuntimeException refused(RuntimeException e, ChatRequest request) {
        if (e instanceof RejectedExecutionException) {
            return ApiException.busy(String.valueOf(e.getMessage()));
        }
        if (e instanceof OutOfDeviceMemoryException) {
            return ApiException.unavailable(String.valueOf(e.getMessage()));
        }
        if (e instanceof FineTune4jException) {
            return new ApiException(
                    400,
                    "invalid_request_error",
                    "messages",
                    "context_length_exceeded",
                    String.valueOf(e.getMessage()));
        }
        if (e instanceof IllegalArgumentException) {
            String adapter = request.adapter();
            boolean gone = adapter != null && String.valueOf(e.getMessage()).startsWith("there is no adapter named");
            return gone
                    ? ApiException.noModel(adapter)
                    : ApiException.invalid("messages", String.valueOf(e.getMessage()));
        }
        return e;
    }

    /** The next event; null if none comes in time. */
    @Nullable
    Event next(long milliseconds) throws InterruptedException {
        return events.poll(milliseconds, TimeUnit.MILLISECONDS);
    }

    /** Ends what has not ended, each answer before its next token. */
    @Override
    public void close() {
        completions.forEach(Completion::cancel);
    }
}
