package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.JinjaTemplate.Span;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Finds the answers in a text that a template wrote without saying which parts are answers: an answer is what the text
 * up to it has beyond the prompt for it. That holds only if both are beginnings of the whole text, so each is checked.
 *
 * <p>Templates that drop the thoughts of earlier answers write them as the model never would. Such an answer is not
 * trained, and the last one is what the text teaches.
 */
final class AnswerSpans {
    private final String whole;
    private final List<String> ends;
    private final List<Span> found = new ArrayList<>();

    /**
     * For one text.
     *
     * @param ends the texts of tokens that end an answer; white space after one of them belongs to no answer
     */
    AnswerSpans(String whole, List<String> ends) {
        this.whole = whole;
        this.ends = ends;
    }

    /**
     * Adds the answer of a message, or leaves it out if others follow that make it another text.
     *
     * @param message its place, for messages
     * @param isLast whether no answer follows
     * @param prompt the text of what stands before it, with the announcement of an answer
     * @param answered the text of what stands before it and itself
     * @throws IllegalArgumentException if the answer cannot be told from the rest
     */
    void add(int message, boolean isLast, String prompt, String answered) {
        if (!answered.startsWith(prompt)) {
            throw inexact(message, "its text does not begin with the prompt that asks for it");
        }
        if (!whole.startsWith(answered)) {
            if (isLast) {
                throw inexact(message, "it is written differently once other messages follow");
            }
            return;
        }
        int start = prompt.length();
        if (!found.isEmpty() && start < found.get(found.size() - 1).end()) {
            throw inexact(message, "its text overlaps that of the answer before it");
        }
        found.add(new Span(
                start, start + withoutWhiteEnd(answered.substring(start)).length()));
    }

    List<Span> found() {
        return found;
    }

    /** Spans in order, those that touch or lie in each other as one. */
    static List<Span> merged(List<Span> spans) {
        List<Span> merged = new ArrayList<>();
        List<Span> ordered = new ArrayList<>(spans);
        ordered.sort(Comparator.comparingInt(Span::start));
        for (Span span : ordered) {
            int last = merged.size() - 1;
            if (last >= 0 && span.start() <= merged.get(last).end()) {
                merged.set(
                        last,
                        new Span(
                                merged.get(last).start(),
                                Math.max(merged.get(last).end(), span.end())));
            } else {
                merged.add(span);
            }
        }
        return merged;
    }

    private String withoutWhiteEnd(String answer) {
        String bare = Whitespace.stripTrailing(answer);
        return ends.stream().anyMatch(bare::endsWith) ? bare : answer;
    }

    private static IllegalArgumentException inexact(int message, String reason) {
        return new IllegalArgumentException("the checkpoint's own chat template does not let the answer in message "
                + message + " be told from the rest: " + reason
                + "; end the conversation with the answer, or name another template");
    }
}
