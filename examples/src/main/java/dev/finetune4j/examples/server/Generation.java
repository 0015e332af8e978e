package dev.finetune4j.examples.server;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.SettingsException;
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
        int answer();
    }

    /** A piece of it. */
    record Piece(int answer, ReplyDelta delta) implements Event {}

    /** Its end. */
    record End(int answer, Reply reply) implements Event {}

    /** What has ended it otherwise. */
    record Failure(int answer, Throwable cause) implements Event {}

    private final BlockingQueue<Event> events = new LinkedBlockingQueue<>();
    private final List<Completion> completions = new ArrayList<>();

    private Generation() {}

    /**
     * Begins some answers.
     *
     * @param admission gives the room that each takes, until it ends
     * @throws ApiException when there is no room, or the model refuses a request
     */
    static Generation begin(ServedModel model, Asked asked, Admission admission, Metrics metrics) {
        Generation generation = new Generation();
        admission.enter(asked.answers());
        int begun = 0;
        try {
            for (; begun < asked.answers(); begun++) {
                ChatRequest request = asked.requests().get(begun);
                generation.add(model, request, begun, admission, metrics.begin(asked, request));
            }
            return generation;
        } catch (RuntimeException e) {
            throw refused(e, asked);
        } finally {
            if (begun < asked.answers()) {
                admission.leave(asked.answers() - begun);
                generation.close();
            }
        }
    }

    private void add(
            ServedModel model, ChatRequest request, int answer, Admission admission, Metrics.Measured measured) {
        Completion completion = model.submit(request, delta -> {
            measured.piece(delta);
            events.add(new Piece(answer, delta));
        });
        completions.add(completion);
        completion.stage().whenComplete((reply, failure) -> {
            admission.leave(1);
            measured.end(reply);
            events.add(failure == null ? new End(answer, reply) : new Failure(answer, failure));
        });
    }

    /** What the model says to a request before it begins to answer. */
    private static RuntimeException refused(RuntimeException e, Asked asked) {
        String message = String.valueOf(e.getMessage());
        String param = asked.requests().get(0).isText() ? "prompt" : "messages";
        if (e instanceof RejectedExecutionException) {
            return ApiException.busy(message);
        }
        if (e instanceof OutOfDeviceMemoryException || e instanceof IllegalStateException) {
            return ApiException.unavailable(message);
        }
        if (e instanceof SettingsException) {
            return ApiException.invalid(message.startsWith("logitBias") ? "logit_bias" : null, message);
        }
        if (e instanceof FineTune4jException) {
            return new ApiException(400, "invalid_request_error", param, "context_length_exceeded", message);
        }
        if (e instanceof IllegalArgumentException) {
            boolean gone = message.startsWith("there is no adapter named");
            return gone ? ApiException.noModel(asked.model()) : ApiException.invalid(param, message);
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
