package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.generate.Usage;
import dev.finetune4j.examples.server.http.EventStream;
import dev.finetune4j.examples.server.http.HttpCall;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** {@code POST /v1/chat/completions} and {@code /v1/completions}. Thread-safe. */
final class Completions {
    private static final Logger LOG = LoggerFactory.getLogger(Completions.class);
    /** How often, in milliseconds, it is seen after the client between two tokens. */
    private static final long LOOK = 20;

    private static final long COMMENT = TimeUnit.SECONDS.toNanos(15);

    private final ServerSettings settings;
    private final Admission admission;
    private final Metrics metrics;

    Completions(ServerSettings settings, Admission admission, Metrics metrics) {
        this.settings = settings;
        this.admission = admission;
        this.metrics = metrics;
    }

    /** @param id of the request */
    void chat(HttpCall http, ServedModel model, String id) throws IOException, InterruptedException {
        Asked asked = ChatFields.read(JsonBody.read(http), settings, model.adapters());
        answer(http, model, new ChatAnswers(asked, id));
    }

    /** @param id of the request */
    void text(HttpCall http, ServedModel model, String id) throws IOException, InterruptedException {
        TextFields fields = TextFields.read(JsonBody.read(http), settings, model.adapters());
        List<TextAnswers.Echo> echoes = new ArrayList<>();
        for (String prompt : fields.prompts()) {
            List<TokenLogprob> scores =
                    fields.scores() ? scores(model, fields.asked().model(), prompt) : List.of();
            echoes.add(fields.echo() ? new TextAnswers.Echo(prompt, scores) : TextAnswers.Echo.NONE);
        }
        TextAnswers answers = new TextAnswers(fields.asked(), id, echoes);
        if (fields.generates()) {
            answer(http, model, answers);
        } else {
            List<Reply> none = fields.asked().requests().stream()
                    .map(request -> new Reply(
                            "",
                            "",
                            List.of(),
                            FinishReason.LENGTH,
                            new Usage(
                                    model.countTokens(request.conversation()
                                            .messages()
                                            .get(0)
                                            .content()),
                                    0,
                                    0,
                                    0),
                            List.of()))
                    .toList();
            send(http, answers, none);
        }
    }

    private List<TokenLogprob> scores(ServedModel model, String name, String prompt) {
        admission.enter(1);
        try {
            return withFirst(prompt, model.score(name.equals(settings.modelName()) ? null : name, prompt));
        } catch (IllegalArgumentException e) {
            throw ApiException.invalid("prompt", String.valueOf(e.getMessage()));
        } finally {
            admission.leave(1);
        }
    }

    /** With the first token, which nothing stands before, where the tokenizer begins a text with none of its own. */
    private static List<TokenLogprob> withFirst(String prompt, List<TokenLogprob> scores) {
        int rest = prompt.length()
                - scores.stream().mapToInt(s -> s.token().length()).sum();
        if (rest <= 0) {
            return scores;
        }
        List<TokenLogprob> all = new ArrayList<>(scores);
        all.add(0, new TokenLogprob(-1, prompt.substring(0, rest), Double.NaN, List.of()));
        return all;
    }

    private void answer(HttpCall http, ServedModel model, Answers answers) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + settings.requestTime().toNanos();
        try (Generation generation = Generation.begin(model, answers.asked(), admission, metrics)) {
            Waiting waiting = new Waiting(http, generation, deadline);
            if (answers.asked().stream()) {
                stream(http, answers, waiting);
            } else {
                Reply[] replies = new Reply[answers.asked().answers()];
                int ended = 0;
                while (ended < replies.length) {
                    if (waiting.next() instanceof Generation.End end) {
                        replies[end.answer()] = end.reply();
                        ended++;
                    }
                }
                http.respond(200, "application/json", Api.bytes(answers.whole(Arrays.asList(replies))));
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
        Generation.@Nullable Event next() throws IOException, InterruptedException {
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

    private static void send(HttpCall http, Answers answers, List<Reply> replies) throws IOException {
        if (!answers.asked().stream()) {
            http.respond(200, "application/json", Api.bytes(answers.whole(replies)));
            return;
        }
        EventStream events = http.events();
        for (int answer = 0; answer < replies.size(); answer++) {
            send(events, answers.first(answer));
            send(events, List.of(answers.last(answer, replies.get(answer))));
        }
        end(events, answers, replies);
    }

    private static void send(EventStream events, List<ObjectNode> chunks) throws IOException {
        for (ObjectNode chunk : chunks) {
            events.data(JsonBody.write(chunk));
        }
    }

    private static void end(EventStream events, Answers answers, List<Reply> replies) throws IOException {
        if (answers.asked().streamsUsage()) {
            events.data(JsonBody.write(answers.usage(replies)));
        }
        events.data("[DONE]");
        events.end();
    }

    private static void stream(HttpCall http, Answers answers, Waiting waiting)
            throws IOException, InterruptedException {
        EventStream events = http.events();
        Reply[] replies = new Reply[answers.asked().answers()];
        try {
            for (int answer = 0; answer < replies.length; answer++) {
                send(events, answers.first(answer));
            }
            long last = System.nanoTime();
            int ended = 0;
            while (ended < replies.length) {
                Generation.Event event = waiting.next();
                if (event instanceof Generation.Piece piece && !Answers.isEmpty(piece.delta())) {
                    send(events, List.of(answers.piece(piece.answer(), piece.delta())));
                } else if (event instanceof Generation.End end) {
                    replies[end.answer()] = end.reply();
                    ended++;
                    send(events, List.of(answers.last(end.answer(), end.reply())));
                } else if (event == null && System.nanoTime() - last > COMMENT) {
                    events.comment("still at it");
                } else {
                    continue;
                }
                last = System.nanoTime();
            }
        } catch (ApiException e) {
            events.data(JsonBody.write(Api.error(e)));
            events.end();
            return;
        }
        end(events, answers, Arrays.asList(replies));
    }
}
