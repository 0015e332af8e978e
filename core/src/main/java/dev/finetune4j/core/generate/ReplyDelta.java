package dev.finetune4j.core.generate;

import dev.finetune4j.core.message.Arguments;
import java.util.List;

/**
 * A piece of a reply while it is generated. Each part of it continues that of the pieces before: joined they are the whole
 * reply's. Calls of tools come complete, with the last piece.
 *
 * @param content printable text of the answer; empty for a piece of thoughts
 * @param reasoning printable text of the thoughts before the answer; empty for others
 * @param toolCalls calls that are complete
 * @param logprobs of the tokens since the piece before, if they were asked for
 */
public record ReplyDelta(String content, String reasoning, List<ToolCall> toolCalls, List<TokenLogprob> logprobs) {
    public ReplyDelta {
        Arguments.given(content, "ReplyDelta(content)");
        Arguments.given(reasoning, "ReplyDelta(reasoning)");
        toolCalls = List.copyOf(Arguments.given(toolCalls, "ReplyDelta(toolCalls)"));
        logprobs = List.copyOf(Arguments.given(logprobs, "ReplyDelta(logprobs)"));
    }
}
