package dev.finetune4j.core.generate;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Role;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One answer of a model.
 *
 * @param text the answer, without end token, stop string, thoughts and calls of tools
 * @param reasoning the thoughts before it, without what marks them; empty without any
 * @param toolCalls the functions that the model asks to be called
 * @param finishReason why it ended
 * @param usage how many tokens it took
 * @param logprobs one for each token of the answer, if {@link ChatRequest#topLogprobs} asked for them
 */
public record Reply(
        String text,
        String reasoning,
        List<ToolCall> toolCalls,
        FinishReason finishReason,
        Usage usage,
        List<TokenLogprob> logprobs) {
    public Reply {
        Arguments.given(text, "Reply(text)");
        Arguments.given(reasoning, "Reply(reasoning)");
        toolCalls = List.copyOf(Arguments.given(toolCalls, "Reply(toolCalls)"));
        Arguments.given(finishReason, "Reply(finishReason)");
        Arguments.given(usage, "Reply(usage)");
        logprobs = List.copyOf(Arguments.given(logprobs, "Reply(logprobs)"));
    }

    /** A reply of text alone that ended by itself, such as that of a {@link ChatModel} which stands in for one in a test. */
    public static Reply of(String text) {
        return new Reply(text, "", List.of(), FinishReason.STOP, new Usage(0, 0, 0, 0), List.of());
    }

    /**
     * The reply as the next message of the conversation: its text, and its calls of tools as {@code tool_calls}. Thoughts are
     * left out, as the makers of such models ask, unless they led to calls: then templates find them as {@code reasoning_content},
     * for the answer that follows.
     */
    public ChatMessage message() {
        Map<String, @Nullable Object> fields = new LinkedHashMap<>();
        if (!toolCalls.isEmpty()) {
            if (!reasoning.isEmpty()) {
                fields.put("reasoning_content", reasoning);
            }
            List<Map<String, Object>> calls = new ArrayList<>();
            for (ToolCall call : toolCalls) {
                Map<String, Object> function = new LinkedHashMap<>();
                function.put("name", call.name());
                function.put("arguments", call.values());
                calls.add(Map.of("id", call.id(), "type", "function", "function", function));
            }
            fields.put("tool_calls", calls);
        }
        return new ChatMessage(Role.ASSISTANT, text, fields);
    }

    /** The whole as one piece. */
    ReplyDelta delta() {
        return new ReplyDelta(text, reasoning, toolCalls, logprobs);
    }
}
