package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.generate.ToolCall;
import dev.finetune4j.core.generate.Usage;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** The answers to one request in OpenAI's form. Not thread-safe. */
final class ChatAnswers {
    private final ChatCall call;
    private final String id;
    private final long created;
    private final int[] calls;

    /** @param created seconds since 1970 */
    ChatAnswers(ChatCall call, String id, long created) {
        this.call = call;
        this.id = id;
        this.created = created;
        this.calls = new int[call.choices()];
    }

    private ObjectNode frame(String object) {
        return JsonBody.MAPPER
                .createObjectNode()
                .put("id", id)
                .put("object", object)
                .put("created", created)
                .put("model", call.model());
    }

    private ObjectNode chunk() {
        ObjectNode chunk = frame("chat.completion.chunk");
        chunk.putArray("choices");
        if (call.streamsUsage()) {
            chunk.putNull("usage");
        }
        return chunk;
    }

    private ObjectNode chunk(int choice, String finishReason) {
        ObjectNode chunk = chunk();
        ObjectNode entry = chunk.withArray("choices").addObject().put("index", choice);
        entry.putObject("delta");
        if (call.request().topLogprobs() >= 0) {
            entry.putNull("logprobs");
        }
        entry.put("finish_reason", finishReason.isEmpty() ? null : finishReason);
        return chunk;
    }

    private static ObjectNode choice(ObjectNode chunk) {
        return (ObjectNode) chunk.path("choices").path(0);
    }

    /** The event with which an answer begins. */
    ObjectNode first(int choice) {
        ObjectNode chunk = chunk(choice, "");
        choice(chunk).withObject("delta").put("role", "assistant").put("content", "");
        return chunk;
    }

    /** The event of a piece. */
    ObjectNode piece(int choice, ReplyDelta piece) {
        ObjectNode chunk = chunk(choice, "");
        ObjectNode delta = choice(chunk).withObject("delta");
        if (!piece.reasoning().isEmpty()) {
            delta.put("reasoning_content", piece.reasoning());
        }
        if (!piece.content().isEmpty()) {
            delta.put("content", piece.content());
        }
        for (ToolCall toolCall : piece.toolCalls()) {
            ObjectNode entry = toolCall(toolCall);
            entry.put("index", calls[choice]++);
            delta.withArray("tool_calls").add(entry);
        }
        if (!piece.logprobs().isEmpty()) {
            choice(chunk).set("logprobs", logprobs(piece.logprobs()));
        }
        return chunk;
    }

    /** Whether a piece says anything. */
    static boolean isEmpty(ReplyDelta piece) {
        return piece.content().isEmpty()
                && piece.reasoning().isEmpty()
                && piece.toolCalls().isEmpty()
                && piece.logprobs().isEmpty();
    }

    /** The event with which an answer ends. */
    ObjectNode last(int choice, Reply reply) {
        return chunk(choice, reason(reply.finishReason()));
    }

    /** The event that counts the tokens. */
    ObjectNode usage(List<Reply> replies) {
        ObjectNode chunk = chunk();
        chunk.set("usage", usageOf(replies));
        return chunk;
    }

    /** All answers as one object. */
    ObjectNode whole(List<Reply> replies) {
        ObjectNode whole = frame("chat.completion");
        ArrayNode choices = whole.putArray("choices");
        for (Reply reply : replies) {
            ObjectNode choice = choices.addObject().put("index", choices.size() - 1);
            ObjectNode message = choice.putObject("message").put("role", "assistant");
            message.put("content", reply.text().isEmpty() && !reply.toolCalls().isEmpty() ? null : reply.text());
            message.putNull("refusal");
            if (!reply.reasoning().isEmpty()) {
                message.put("reasoning_content", reply.reasoning());
            }
            for (ToolCall toolCall : reply.toolCalls()) {
                message.withArray("tool_calls").add(toolCall(toolCall));
            }
            if (call.request().topLogprobs() >= 0) {
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
        ObjectNode entry =
                JsonBody.MAPPER.createObjectNode().put("token", token.token()).put("logprob", token.logprob());
        if (token.token().indexOf('\ufffd') >= 0) {
            return entry.putNull("bytes");
        }
        ArrayNode bytes = entry.putArray("bytes");
        for (byte b : token.token().getBytes(StandardCharsets.UTF_8)) {
            bytes.add(b & 0xff);
        }
        return entry;
    }

    /** The prompt counts once, however many answers it has. */
    private static ObjectNode usageOf(List<Reply> replies) {
        Usage first = replies.get(0).usage();
        int completion =
                replies.stream().mapToInt(r -> r.usage().completionTokens()).sum();
        int reasoning =
                replies.stream().mapToInt(r -> r.usage().reasoningTokens()).sum();
        ObjectNode usage = JsonBody.MAPPER
                .createObjectNode()
                .put("prompt_tokens", first.promptTokens())
                .put("completion_tokens", completion)
                .put("total_tokens", first.promptTokens() + completion);
        usage.putObject("prompt_tokens_details").put("cached_tokens", first.cachedTokens());
        usage.putObject("completion_tokens_details").put("reasoning_tokens", reasoning);
        return usage;
    }

    static String reason(FinishReason reason) {
        return switch (reason) {
            case STOP -> "stop";
            case TOOL_CALLS -> "tool_calls";
            case LENGTH, CONTEXT_LENGTH, INTERRUPTED, CANCELLED -> "length";
        };
    }
}
