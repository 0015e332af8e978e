package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.generate.ToolCall;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** {@code chat.completion} and its chunks. */
final class ChatAnswers extends Answers {
    /** How many calls each answer has made so far. */
    private final int[] calls;

    ChatAnswers(Asked asked, String id) {
        super(asked, "chatcmpl-" + id);
        this.calls = new int[asked.answers()];
    }

    @Override
    String event() {
        return "chat.completion.chunk";
    }

    private ObjectNode chunk(int answer, String finishReason) {
        ObjectNode chunk = chunk();
        ObjectNode choice = chunk.withArray("choices").addObject().put("index", answer);
        choice.putObject("delta");
        if (withLogprobs(answer)) {
            choice.putNull("logprobs");
        }
        choice.put("finish_reason", finishReason.isEmpty() ? null : finishReason);
        return chunk;
    }

    private boolean withLogprobs(int answer) {
        return asked().requests().get(answer).topLogprobs() >= 0;
    }

    private static ObjectNode choice(ObjectNode chunk) {
        return (ObjectNode) chunk.path("choices").path(0);
    }

    @Override
    List<ObjectNode> first(int answer) {
        ObjectNode chunk = chunk(answer, "");
        choice(chunk).withObject("delta").put("role", "assistant").put("content", "");
        return List.of(chunk);
    }

    @Override
    ObjectNode piece(int answer, ReplyDelta piece) {
        ObjectNode chunk = chunk(answer, "");
        ObjectNode delta = choice(chunk).withObject("delta");
        if (!piece.reasoning().isEmpty()) {
            delta.put("reasoning_content", piece.reasoning());
        }
        if (!piece.content().isEmpty()) {
            delta.put("content", piece.content());
        }
        for (ToolCall toolCall : piece.toolCalls()) {
            ObjectNode entry = toolCall(toolCall);
            entry.put("index", calls[answer]++);
            delta.withArray("tool_calls").add(entry);
        }
        if (!piece.logprobs().isEmpty()) {
            choice(chunk).set("logprobs", logprobs(piece.logprobs()));
        }
        return chunk;
    }

    @Override
    ObjectNode last(int answer, Reply reply) {
        return chunk(answer, reason(reply.finishReason()));
    }

    @Override
    ObjectNode whole(List<Reply> replies) {
        ObjectNode whole = frame("chat.completion");
        ArrayNode choices = whole.putArray("choices");
        for (int i = 0; i < replies.size(); i++) {
            Reply reply = replies.get(i);
            ObjectNode choice = choices.addObject().put("index", i);
            ObjectNode message = choice.putObject("message").put("role", "assistant");
            message.put("content", reply.text().isEmpty() && !reply.toolCalls().isEmpty() ? null : reply.text());
            message.putNull("refusal");
            if (!reply.reasoning().isEmpty()) {
                message.put("reasoning_content", reply.reasoning());
            }
            for (ToolCall toolCall : reply.toolCalls()) {
                message.withArray("tool_calls").add(toolCall(toolCall));
            }
            if (withLogprobs(i)) {
                choice.set("logprobs", logprobs(reply.logprobs()));
            } else {
                choice.putNull("logprobs");
            }
            choice.put("finish_reason", reason(reply.finishReason()));
        }
        whole.set("usage", usageOf(replies));
        return whole;
    }

    private static ObjectNode toolCall(ToolCall call) {
        ObjectNode entry =
                JsonBody.MAPPER.createObjectNode().put("id", call.id()).put("type", "function");
        entry.putObject("function").put("name", call.name()).put("arguments", call.arguments());
        return entry;
    }

    private static ObjectNode logprobs(List<TokenLogprob> tokens) {
        ObjectNode all = JsonBody.MAPPER.createObjectNode();
        ArrayNode content = all.putArray("content");
        for (TokenLogprob token : tokens) {
            ObjectNode entry = logprob(token);
            ArrayNode top = entry.putArray("top_logprobs");
            token.top().forEach(other -> top.add(logprob(other)));
            content.add(entry);
        }
        all.putNull("refusal");
        return all;
    }

    /** The bytes of a token that is a part of a character are not known here. */
    private static ObjectNode logprob(TokenLogprob token) {
        ObjectNode entry = JsonBody.MAPPER.createObjectNode().put("token", token.token());
        entry.put("logprob", token.logprob());
        if (token.token().indexOf('\ufffd') >= 0) {
            return entry.putNull("bytes");
        }
        ArrayNode bytes = entry.putArray("bytes");
        for (byte b : token.token().getBytes(StandardCharsets.UTF_8)) {
            bytes.add(b & 0xff);
        }
        return entry;
    }
}
