package dev.finetune4j.core.inference;

import dev.finetune4j.core.generate.ToolCall;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Parts an answer that comes in pieces into thoughts, text and calls of tools, wherever the pieces begin and end. What may be the
 * beginning of a mark is held back. Calls that cannot be read stay text.
 */
final class AnswerParser {
    /** Begins thoughts, and ends them. */
    static final String THINK = "<think>";

    static final String THINK_END = "</think>";

    /**
     * The texts around thoughts and answers.
     *
     * @param think begins thoughts
     * @param thinkEnd ends them
     * @param answer begins the text behind them; empty where nothing does
     */
    record Marks(String think, String thinkEnd, String answer) {
        /** What most models write. */
        static final Marks USUAL = new Marks(THINK, THINK_END, "");

        /** Command R7B: each part of an answer stands between tokens of its own. */
        static final Marks COMMAND_R7B = new Marks("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>");

        private boolean has(String token) {
            return token.equals(think) || token.equals(thinkEnd) || token.equals(answer);
        }
    }

    private enum State {
        /** Thoughts may begin. */
        START,
        REASONING,
        /** Blanks between the thoughts and the text. */
        BETWEEN,
        CONTENT,
        CALLS
    }

    /**
     * A part of an answer.
     *
     * @param content text; empty for a part of the thoughts
     * @param reasoning thoughts; empty for text
     */
    record Part(String content, String reasoning) {}

    private final Marks marks;
    private final @Nullable ToolCallFormat format;
    private final int firstCall;
    private final StringBuilder held = new StringBuilder();
    private State state;
    /** Whether some of the thoughts, or of the text, has been seen. */
    private boolean begun;

    private boolean begunContent;
    private List<ToolCall> calls = List.of();

    /** With the marks that most models write. */
    AnswerParser(boolean thinks, boolean isThinking, @Nullable ToolCallFormat format, int firstCall) {
        this(Marks.USUAL, thinks, isThinking, format, firstCall);
    }

    /**
     * @param thinks whether thoughts are told from the text
     * @param isThinking whether the answer begins in the middle of thoughts
     * @param format of calls of tools; null when none are expected
     * @param firstCall the number of the first call within the conversation
     */
    AnswerParser(Marks marks, boolean thinks, boolean isThinking, @Nullable ToolCallFormat format, int firstCall) {
        this.marks = marks;
        this.format = format;
        this.firstCall = firstCall;
        this.state = isThinking ? State.REASONING : thinks ? State.START : State.CONTENT;
    }

    /** Whether a token is a part of an answer's form, though tokens of its kind are not shown. */
    boolean marks(String token) {
        return marks.has(token);
    }

    /** Whether what comes now is thoughts. */
    boolean isReasoning() {
        return state == State.REASONING;
    }

    /** Takes more of the answer and gives the parts that are certain. */
    List<Part> accept(String piece) {
        held.append(piece);
        List<Part> parts = new ArrayList<>();
        boolean moved = true;
        while (moved) {
            moved = step(parts, false);
        }
        return parts;
    }

    /** The end of the answer: what was held back. */
    List<Part> finish() {
        List<Part> parts = new ArrayList<>();
        boolean moved = true;
        while (moved) {
            moved = step(parts, true);
        }
        return parts;
    }

    /** The calls, once the answer has ended. */
    List<ToolCall> calls() {
        return calls;
    }

    /** One step; says whether another may follow. */
    private boolean step(List<Part> parts, boolean atEnd) {
        return switch (state) {
            case START -> start(atEnd);
            case REASONING -> reasoning(parts, atEnd);
            case BETWEEN -> between(atEnd);
            case CONTENT -> content(parts, atEnd);
            case CALLS -> calls(parts, atEnd);
        };
    }

    private boolean start(boolean atEnd) {
        String text = held.toString();
        String rest = text.stripLeading();
        if (rest.startsWith(marks.think())) {
            held.delete(0, text.length() - rest.length() + marks.think().length());
            state = State.REASONING;
            return true;
        }
        if (!atEnd && (marks.think().startsWith(rest) || mayBeginAnswer(rest))) {
            return false;
        }
        if (beginsAnswer(rest)) {
            held.delete(0, text.length() - rest.length() + marks.answer().length());
        }
        state = State.CONTENT;
        return true;
    }

    private boolean beginsAnswer(String text) {
        return !marks.answer().isEmpty() && text.startsWith(marks.answer());
    }

    private boolean mayBeginAnswer(String text) {
        return marks.answer().length() > text.length() && marks.answer().startsWith(text);
    }

    private boolean reasoning(List<Part> parts, boolean atEnd) {
        if (!begun) {
            held.delete(0, held.length() - held.toString().stripLeading().length());
            begun = held.length() > 0;
        }
        int end = held.indexOf(marks.thinkEnd());
        if (end >= 0) {
            add(parts, "", held.substring(0, end).stripTrailing());
            held.delete(0, end + marks.thinkEnd().length());
            state = State.BETWEEN;
            return true;
        }
        // Blanks before the end belong to neither, so that they wait for what follows.
        String sure = atEnd ? held.toString() : held.substring(0, held.length() - openEnd(List.of(marks.thinkEnd())));
        String solid = sure.stripTrailing();
        add(parts, "", solid);
        held.delete(0, atEnd ? held.length() : solid.length());
        return false;
    }

    private boolean between(boolean atEnd) {
        held.delete(0, held.length() - held.toString().stripLeading().length());
        if (held.length() == 0 || (!atEnd && mayBeginAnswer(held.toString()))) {
            return false;
        }
        if (beginsAnswer(held.toString())) {
            held.delete(0, marks.answer().length());
        }
        state = State.CONTENT;
        return true;
    }

    private boolean content(List<Part> parts, boolean atEnd) {
        if (format != null && format.wholeAnswer()) {
            String rest = held.toString().stripLeading();
            if (rest.isEmpty() && !atEnd) {
                return false;
            }
            if (!begunContent && format.begins(rest)) {
                held.delete(0, held.length() - rest.length());
                state = State.CALLS;
                return true;
            }
            if (!begunContent && !atEnd && format.mayBegin(rest)) {
                return false;
            }
        } else if (format != null) {
            int at = firstBeginning(format.beginnings());
            if (at >= 0) {
                add(parts, held.substring(0, at), "");
                held.delete(0, at);
                state = State.CALLS;
                return true;
            }
        }
        int open = atEnd || format == null || format.wholeAnswer() ? 0 : openEnd(format.beginnings());
        add(parts, held.substring(0, held.length() - open), "");
        begunContent |= held.length() > open;
        held.delete(0, held.length() - open);
        return false;
    }

    private boolean calls(List<Part> parts, boolean atEnd) {
        if (!atEnd) {
            return false;
        }
        String text = held.toString();
        held.setLength(0);
        List<ToolCallFormat.Call> read = format == null ? null : format.parse(text);
        if (read == null) {
            add(parts, text, "");
            return false;
        }
        List<ToolCall> named = new ArrayList<>();
        for (ToolCallFormat.Call call : read) {
            String id =
                    call.id() == null ? String.format(Locale.ROOT, "call%05d", firstCall + named.size()) : call.id();
            named.add(new ToolCall(id, call.name(), call.arguments().toString()));
        }
        calls = List.copyOf(named);
        return false;
    }

    private int firstBeginning(List<String> marks) {
        return marks.stream()
                .mapToInt(held::indexOf)
                .filter(at -> at >= 0)
                .min()
                .orElse(-1);
    }

    /** How much of the end may be the beginning of a mark. */
    private int openEnd(List<String> marks) {
        int longest = 0;
        for (String mark : marks) {
            for (int length = Math.min(mark.length() - 1, held.length()); length > longest; length--) {
                if (mark.startsWith(held.substring(held.length() - length))) {
                    longest = length;
                }
            }
        }
        return longest;
    }

    private static void add(List<Part> parts, String content, String reasoning) {
        if (!content.isEmpty() || !reasoning.isEmpty()) {
            parts.add(new Part(content, reasoning));
        }
    }
}
