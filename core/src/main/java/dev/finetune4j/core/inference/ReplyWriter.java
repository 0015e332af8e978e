package dev.finetune4j.core.inference;

import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.generate.ToolCall;
import dev.finetune4j.core.generate.Usage;
import dev.finetune4j.core.text.IncrementalDetokenizer;
import dev.finetune4j.core.text.Tokenizer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Makes a reply of its tokens and hands the pieces out: detokenizer, stop strings, parser, sink. Serves one thread at a time. */
final class ReplyWriter {
    private final Tokenizer tokenizer;
    private final IncrementalDetokenizer detokenizer;
    private final StopStrings stops;
    private final int minNewTokens;
    private final AnswerParser parser;
    private final @Nullable ToolCallFormat format;
    private final Consumer<ReplyDelta> sink;
    private final int promptTokens;
    private final int cachedTokens;
    private final StringBuilder text = new StringBuilder();
    private final StringBuilder reasoning = new StringBuilder();
    private final List<TokenLogprob> logprobs = new ArrayList<>();
    /** How many of these have been handed out. */
    private int told;

    private int newTokens;
    private int reasoningTokens;

    /**
     * @param tokenizer borrowed
     * @param answer tells the parts of the answer apart
     * @param format of calls of tools; null when none are expected
     * @param promptTokens tokens before the answer
     * @param cachedTokens how many of these were remembered
     */
    ReplyWriter(
            Tokenizer tokenizer,
            ChatRequest request,
            AnswerParser answer,
            @Nullable ToolCallFormat format,
            Consumer<ReplyDelta> sink,
            int promptTokens,
            int cachedTokens) {
        this.tokenizer = tokenizer;
        this.detokenizer = tokenizer.detokenizer(true);
        this.stops = new StopStrings(request.settings().stop());
        this.minNewTokens = request.settings().minNewTokens();
        this.parser = answer;
        this.format = format;
        this.sink = sink;
        this.promptTokens = promptTokens;
        this.cachedTokens = cachedTokens;
    }

    /**
     * Takes the next token.
     *
     * @param likelihoods what is to be told about it; null for nothing
     * @return whether the answer goes on; false when a stop string has ended it
     */
    boolean accept(int id, @Nullable Likelihoods likelihoods) {
        newTokens++;
        if (likelihoods != null) {
            logprobs.add(logprob(id, likelihoods));
        }
        emit(parser.accept(stops.accept(text(id), newTokens > minNewTokens)));
        reasoningTokens += parser.isReasoning() ? 1 : 0;
        return !stops.isFound();
    }

    /** Special tokens are not shown, but for those that mark calls of tools and thoughts. */
    private String text(int id) {
        if (tokenizer.isSpecial(id) && isMark(tokenizer.tokenOf(id))) {
            return detokenizer.finish() + tokenizer.tokenOf(id);
        }
        return detokenizer.accept(id);
    }

    private boolean isMark(String token) {
        return parser.marks(token) || (format != null && format.marks(token));
    }

    private TokenLogprob logprob(int id, Likelihoods likelihoods) {
        List<TokenLogprob> top = new ArrayList<>();
        for (int i = 0; i < likelihoods.topIds().length; i++) {
            int other = likelihoods.topIds()[i];
            top.add(new TokenLogprob(
                    other, tokenizer.decode(new int[] {other}), likelihoods.topLogprobs()[i], List.of()));
        }
        return new TokenLogprob(id, tokenizer.decode(new int[] {id}), likelihoods.logprob(), top);
    }

    /** Whether a stop string has ended the answer. */
    boolean isStopped() {
        return stops.isFound();
    }

    /** The whole reply; hands out what was held back. */
    Reply end(FinishReason reason) {
        if (!stops.isFound()) {
            emit(parser.accept(stops.accept(rest(reason), newTokens >= minNewTokens)));
        }
        emit(parser.accept(stops.finish()));
        emit(parser.finish());
        List<ToolCall> calls = parser.calls();
        if (told < logprobs.size() || !calls.isEmpty()) {
            emit("", "", calls);
        }
        boolean ended = stops.isFound() || reason == FinishReason.STOP;
        FinishReason own = calls.isEmpty() ? FinishReason.STOP : FinishReason.TOOL_CALLS;
        return new Reply(
                text.toString(),
                reasoning.toString(),
                calls,
                ended ? own : reason,
                new Usage(promptTokens, cachedTokens, newTokens, reasoningTokens),
                logprobs);
    }

    /** What the detokenizer holds back; without a character that is unfinished because somebody did not want the rest. */
    private String rest(FinishReason reason) {
        String rest = detokenizer.finish();
        boolean cut = reason == FinishReason.CANCELLED || reason == FinishReason.INTERRUPTED;
        int unfinished = rest.indexOf('\ufffd');
        return cut && unfinished >= 0 ? rest.substring(0, unfinished) : rest;
    }

    private void emit(List<AnswerParser.Part> parts) {
        for (AnswerParser.Part part : parts) {
            emit(part.content(), part.reasoning(), List.of());
        }
    }

    private void emit(String content, String thoughts, List<ToolCall> calls) {
        text.append(content);
        reasoning.append(thoughts);
        List<TokenLogprob> fresh = List.copyOf(logprobs.subList(told, logprobs.size()));
        told = logprobs.size();
        sink.accept(new ReplyDelta(content, thoughts, calls, fresh));
    }
}
