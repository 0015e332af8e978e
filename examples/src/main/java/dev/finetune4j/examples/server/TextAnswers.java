package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.TokenLogprob;
import java.util.ArrayList;
import java.util.List;

/** {@code text_completion} and its chunks. */
final class TextAnswers extends Answers {
    /**
     * A prompt that answers repeat.
     *
     * @param text as it was sent
     * @param logprobs of its tokens but the first, if they were asked for
     */
    record Echo(String text, List<TokenLogprob> logprobs) {
        static final Echo NONE = new Echo("", List.of());
    }

    /** One for each prompt. */
    private final List<Echo> echoes;
    /** The length of what each answer has said so far. */
    private final int[] offsets;

    TextAnswers(Asked asked, String id, List<Echo> echoes) {
        super(asked, "cmpl-" + id);
        this.echoes = echoes;
        this.offsets = new int[asked.answers()];
    }

    @Override
    String event() {
        return "text_completion";
    }

    private Echo echo(int answer) {
        return echoes.get(answer / asked().choices());
    }

    private ObjectNode chunk(int answer, String text, List<TokenLogprob> logprobs, boolean isPrompt) {
        ObjectNode chunk = chunk();
        ObjectNode choice = chunk.withArray("choices").addObject();
        choice.put("index", answer).put("text", text);
        if (logprobs.isEmpty()) {
            choice.putNull("logprobs");
        } else {
            choice.set(
                    "logprobs",
                    new Logprobs(offsets[answer]).add(logprobs, isPrompt).node());
        }
        offsets[answer] += text.length();
        choice.putNull("finish_reason");
        return chunk;
    }

    @Override
    List<ObjectNode> first(int answer) {
        Echo echo = echo(answer);
        return echo.text().isEmpty() ? List.of() : List.of(chunk(answer, echo.text(), echo.logprobs(), true));
    }

    @Override
    ObjectNode piece(int answer, ReplyDelta piece) {
        return chunk(answer, piece.content(), piece.logprobs(), false);
    }

    @Override
    ObjectNode last(int answer, Reply reply) {
        ObjectNode chunk = chunk(answer, "", List.of(), false);
        ((ObjectNode) chunk.path("choices").path(0)).put("finish_reason", reason(reply.finishReason()));
        return chunk;
    }

    @Override
    ObjectNode whole(List<Reply> replies) {
        ObjectNode whole = frame("text_completion");
        ArrayNode choices = whole.putArray("choices");
        for (int i = 0; i < replies.size(); i++) {
            Reply reply = replies.get(i);
            Echo echo = echo(i);
            ObjectNode choice = choices.addObject().put("index", i).put("text", echo.text() + reply.text());
            List<TokenLogprob> both = new ArrayList<>(echo.logprobs());
            both.addAll(reply.logprobs());
            if (both.isEmpty()) {
                choice.putNull("logprobs");
            } else {
                choice.set(
                        "logprobs",
                        new Logprobs(0)
                                .add(echo.logprobs(), true)
                                .add(reply.logprobs(), false)
                                .node());
            }
            choice.put("finish_reason", reason(reply.finishReason()));
        }
        whole.set("usage", usageOf(replies));
        return whole;
    }

    /** Four lists side by side. Of the tokens of a prompt the likeliest others are not known: null, as for the first token of all. */
    private static final class Logprobs {
        private final ObjectNode node = JsonBody.MAPPER.createObjectNode();
        private final ArrayNode tokens = node.putArray("tokens");
        private final ArrayNode values = node.putArray("token_logprobs");
        private final ArrayNode tops = node.putArray("top_logprobs");
        private final ArrayNode offsets = node.putArray("text_offset");
        private int offset;

        Logprobs(int offset) {
            this.offset = offset;
        }

        Logprobs add(List<TokenLogprob> logprobs, boolean isPrompt) {
            for (TokenLogprob token : logprobs) {
                tokens.add(token.token());
                if (Double.isNaN(token.logprob())) {
                    values.addNull();
                } else {
                    values.add(token.logprob());
                }
                offsets.add(offset);
                offset += token.token().length();
                if (isPrompt) {
                    tops.addNull();
                    continue;
                }
                ObjectNode top = tops.addObject();
                token.top().forEach(other -> top.put(other.token(), other.logprob()));
            }
            return this;
        }

        ObjectNode node() {
            return node;
        }
    }
}
