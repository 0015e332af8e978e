package dev.finetune4j.examples.server;

import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.examples.server.http.EventStream;
import dev.finetune4j.examples.server.http.HttpCall;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** {@code POST /v1/chat/completions}. Thread-safe. */
final class ChatEndpoint {
    private static final Logger LOG = LoggerFactory.getLogger(ChatEndpoint.class);
    /** How often a client is looked for that waits for its answer. */
    private static final long LOOK = 20;

    private static final long COMMENT = TimeUnit.SECONDS.toNanos(15);

    private final ServerSettings settings;
    private final Admission admission;

    ChatEndpoint(ServerSettings settings, Admission admission) {
        this.settings = settings;
        this.admission = admission;
    }

    /** @param id of the request */
    void answer(HttpCall http, ServedModel model, String id) throws IOException, InterruptedException {
        ChatCall call = ChatCall.of(JsonBody.read(http), settings, model.adapters());
        long deadline = System.nanoTime() + settings.requestTime().toNanos();
        ChatAnswers answers = new ChatAnswers(call, "chatcmpl-" + id, System.currentTimeMillis() / 1000);
        try (Generation generation = Generation.begin(model, call.request(), call.choices(), admission)) {
            Waiting waiting = new Waiting(http, generation, deadline);
            if (call.stream()) {
                stream(http, call, answers, waiting);
            } else {
                List<Reply> replies = whole(call, waiting);
                http.respond(200, "application/json", Api.bytes(answers.whole(replies)));
            }
        }
    }

    /** Takes what comes of a generation as long as the client is there and time is left. */
    private record Waiting(HttpCall http, Generation generation, long deadline) {
        /**
         * The next event; null when none has come for a while.
         *
         * @throws IOException when the client is gone
         * @throws ApiException when the time is over, or the generation fails
         */
        Generation.@org.jspecify.annotations.Nullable Event next() throws IOException, InterruptedException {
            Generation.Event event = generation.next(LOOK);
            if (http.isGone()) {
                throw new IOException("the client has gone");
            }
            if (System.nanoTime() - deadline > 0) {
                throw new ApiException(504, "timeout_error", null, "timeout", "the answer took too long");
            }
            if (event instanceof Generation.Failure failure) {
                throw failed(failure.cause());
            }
            return event;
        }

        private static ApiException failed(Throwable cause) {
            if (cause instanceof IllegalStateException) {
                return ApiException.unavailable("the model or the adapter was unloaded: " + cause.getMessage());
            }
            LOG.error("an answer has failed", cause);
            return ApiException.failed(String.valueOf(cause.getMessage()));
        }
    }

    private static List<Reply> whole(ChatCall call, Waiting waiting) throws IOException, InterruptedException {
        Reply[] replies = new Reply[call.choices()];
        int ended = 0;
        while (ended < replies.length) {
            if (waiting.next() instanceof Generation.End end) {
                replies[end.choice()] = end.reply();
                ended++;
            }
        }
        return Arrays.asList(replies);
    }

    private static void stream(HttpCall http, ChatCall call, ChatAnswers answers, Waiting waiting)
            throws IOException, InterruptedException {
        EventStream events = http.events();
        Reply[] replies = new Reply[call.choices()];
        try {
            for (int choice = 0; choice < replies.length; choice++) {
                events.data(JsonBody.write(answers.first(choice)));
            }
            long last = System.nanoTime();
            int ended = 0;
            while (ended < replies.length) {
                Generation.Event event = waiting.next();
                if (event instanceof Generation.Piece piece && !ChatAnswers.isEmpty(piece.delta())) {
                    events.data(JsonBody.write(answers.piece(piece.choice(), piece.delta())));
                } else if (event instanceof Generation.End end) {
                    replies[end.choice()] = end.reply();
                    ended++;
                    events.data(JsonBody.write(answers.last(end.choice(), end.reply())));
                } else if (event == null && System.nanoTime() - last > COMMENT) {
                    events.comment("still at it");
                } else {
                    continue;
                }
                last = System.nanoTime();
            }
            if (call.streamsUsage()) {
                events.data(JsonBody.write(answers.usage(Arrays.asList(replies))));
            }
            events.data("[DONE]");
        } catch (ApiException e) {
            events.data(JsonBody.write(Api.error(e)));
        }
        events.end();
    }
}
