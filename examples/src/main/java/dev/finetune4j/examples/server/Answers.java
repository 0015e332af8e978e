package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.Usage;
import java.util.List;

/** The answers to one request in OpenAI's form, as events and as a whole. Not thread-safe. */
abstract class Answers {
    private final Asked asked;
    private final String id;
    private final long created = System.currentTimeMillis() / 1000;

    Answers(Asked asked, String id) {
        this.asked = asked;
        this.id = id;
    }

    final Asked asked() {
        return asked;
    }

    final ObjectNode frame(String object) {
        return JsonBody.MAPPER
                .createObjectNode()
                .put("id", id)
                .put("object", object)
                .put("created", created)
                .put("model", asked.model());
    }

    /** What the objects of events are called. */
    abstract String event();

    /** An event without choices. */
    final ObjectNode chunk() {
        ObjectNode chunk = frame(event());
        chunk.putArray("choices");
        if (asked.streamsUsage()) {
            chunk.putNull("usage");
        }
        return chunk;
    }

    /** The events with which an answer begins. */
    abstract List<ObjectNode> first(int answer);

    /** The event of a piece. */
    abstract ObjectNode piece(int answer, ReplyDelta piece);

    /** The event with which an answer ends. */
    abstract ObjectNode last(int answer, Reply reply);

    /** All answers as one object. */
    abstract ObjectNode whole(List<Reply> replies);

    /** The event that counts the tokens. */
    final ObjectNode usage(List<Reply> replies) {
        ObjectNode chunk = chunk();
        chunk.set("usage", usageOf(replies));
        return chunk;
    }

    /** Whether a piece says anything. */
    static boolean isEmpty(ReplyDelta piece) {
        return piece.content().isEmpty()
                && piece.reasoning().isEmpty()
                && piece.toolCalls().isEmpty()
                && piece.logprobs().isEmpty();
    }

    /** A prompt counts once, however many answers it has. */
    final ObjectNode usageOf(List<Reply> replies) {
        int prompt = 0;
        int cached = 0;
        int completion = 0;
        int reasoning = 0;
        for (int i = 0; i < replies.size(); i++) {
            Usage usage = replies.get(i).usage();
            boolean isFirst = i % asked.choices() == 0;
            prompt += isFirst ? usage.promptTokens() : 0;
            cached += isFirst ? usage.cachedTokens() : 0;
            completion += usage.completionTokens();
            reasoning += usage.reasoningTokens();
        }
        ObjectNode usage = JsonBody.MAPPER
                .createObjectNode()
                .put("prompt_tokens", prompt)
                .put("completion_tokens", completion)
                .put("total_tokens", prompt + completion);
        usage.putObject("prompt_tokens_details").put("cached_tokens", cached);
        usage.putObject("completion_tokens_details").put("reasoning_tokens", reasoning);
        return usage;
    }

    static String reason(FinishReason reason) {
        return switch (reason) {
            case STOP -> "stop";
            case TOOL_CALLS -> "tool_calls";
            case LENGTH, CONTEXT_LENGTH -> "length";
            case INTERRUPTED, CANCELLED -> "abort";
        };
    }
}
