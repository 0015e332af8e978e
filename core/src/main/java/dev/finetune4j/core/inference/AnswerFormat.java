package dev.finetune4j.core.inference;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Tokenizer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * How a model's answers are to be read, which its chat template and tokenizer tell.
 *
 * @param marks around thoughts and answers
 * @param thinks whether thoughts are told from the text: template or vocabulary have their end
 * @param calls how functions are called; null when none can be
 */
record AnswerFormat(
        AnswerParser.Marks marks, boolean thinks, @Nullable ToolCallFormat calls) {
    /** A text is continued by text. */
    static final AnswerFormat OF_TEXT = new AnswerFormat(AnswerParser.Marks.USUAL, false, null);

    private static final String FOR_TOOLS = "tool_use";
    /** Tokens at the end of a prompt that may spell the beginning of thoughts, with blanks. */
    private static final int TAIL = 12;

    /** @param withTools whether the conversation has tools */
    static AnswerFormat of(ChatEncoder encoder, boolean withTools) {
        Tokenizer tokenizer = encoder.tokenizer();
        String source = encoder.template().jinjaSource();
        AnswerParser.Marks parts = AnswerParser.Marks.COMMAND_R7B;
        AnswerParser.Marks marks = source.contains(parts.answer()) ? parts : AnswerParser.Marks.USUAL;
        boolean thinks = source.contains(marks.thinkEnd())
                || tokenizer.idOf(marks.thinkEnd()).isPresent();
        if (!withTools) {
            return new AnswerFormat(marks, thinks, null);
        }
        String forTools = tokenizer.chatTemplates().getOrDefault(FOR_TOOLS, source);
        return new AnswerFormat(marks, thinks, ToolCallFormat.of(forTools).orElse(null));
    }

    /** Whether a prompt ends in the middle of thoughts, so that the answer goes on with them. */
    boolean isThinking(int[] prompt, Tokenizer tokenizer) {
        int[] tail = Arrays.copyOfRange(prompt, Math.max(0, prompt.length - TAIL), prompt.length);
        return thinks && tokenizer.decode(tail).stripTrailing().endsWith(marks.think());
    }
}
