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

    private final @Nullable ToolCallFormat format;
    private final int firstCall;
    private final StringBuilder held = new StringBuilder();
    private State state;
    /** Whether some of the thoughts, or of the text, has been seen. */
    private boolean begun;

    private boolean begunContent;
    private List<ToolCall> calls = List.of();

    /**
     * @param thinks whether thoughts are told from the text
     * @param isThinking whether the answer begins in the middle of thoughts
     * @param format of calls of tools; null when none are expected
     * @param firstCall the number of the first call within the conversation
     */
    AnswerParser(boolean thinks, boolean isThinking, @Nullable ToolCallFormat format, int firstCall) {
        this.format = format;
        this.firstCall = firstCall;
        this.state = isThinking ? State.REASONING : thinks ? State.START : State.CONTENT;
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
            case BETWEEN -> between();
            case CONTENT -> content(parts, atEnd);
            case CALLS -> calls(parts, atEnd);
        };
    }

    private boolean start(boolean atEnd) {
        String text = held.toString();
        String rest = text.stripLeading();
        if (rest.startsWith(THINK)) {
            held.delete(0, text.length() - rest.length() + THINK.length());
            state = State.REASONING;
            return true;
        }
        if (!atEnd && THINK.startsWith(rest)) {
            return false;
        }
        state = State.CONTENT;
        return true;
    }

    private boolean reasoning(List<Part> parts, boolean atEnd) {
        if (!begun) {
            held.delete(0, held.length() - held.toString().stripLeading().length());
            begun = held.length() > 0;
        }
        int end = held.indexOf(THINK_END);
        if (end >= 0) {
            add(parts, "", held.substring(0, end).stripTrailing());
            held.delete(0, end + THINK_END.length());
            state = State.BETWEEN;
            return true;
        }
        // Blanks before the end belong to neither, so that they wait for what follows.
        String sure = atEnd ? held.toString() : held.substring(0, held.length() - openEnd(List.of(THINK_END)));
        String solid = sure.stripTrailing();
        add(parts, "", solid);
        held.delete(0, atEnd ? held.length() : solid.length());
        return false;
    }

    private boolean between() {
        held.delete(0, held.length() - held.toString().stripLeading().length());
        if (held.length() == 0) {
            return false;
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
