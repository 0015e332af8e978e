package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.JinjaTemplate.Span;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.Supplier;

/**
 * The assistant mask of a rendered conversation, for a template without {@code generation} tags: the spans that the assistant
 * wrote. An answer is what the text up to it has beyond the prompt for it. That holds only if both are prefixes of the whole
 * text, so each is checked.
 *
 * <p>Where they are not, such as if the prompt opens a thought that the text lacks, {@link MarkedAnswer} finds the answer.
 * Templates that drop the thoughts of earlier answers write them as the model never would. Such an answer is not
 * trained, and the last one is what the text teaches.
 */
final class AssistantMask {
    private final String whole;
    private final List<String> ends;
    private final List<String> specialEnds;
    private final List<Span> found = new ArrayList<>();
    private boolean added;
    private boolean leftOut;

    /**
     * For one text.
     *
     * @param ends the texts of tokens that end an answer; white space after one of them belongs to no answer
     * @param specialEnds those of them that no message can spell; nothing after the first of them belongs to an answer,
     *     since generation stops there
     */
    AssistantMask(String whole, List<String> ends, List<String> specialEnds) {
        this.whole = whole;
        this.ends = ends;
        this.specialEnds = specialEnds;
    }

    /**
     * Adds the answer of a message, or leaves it out if others follow that make it another text.
     *
     * @param message its place, for messages
     * @param isLast whether no answer follows
     * @param prompt the text of what stands before it, with the announcement of an answer
     * @param answered the text of what stands before it and itself
     * @param marked the whole text with a mark in place of the answer; asked for if those are no prefixes of the whole
     * @throws IllegalArgumentException if the answer cannot be told from the rest
     */
    void add(int message, boolean isLast, String prompt, String answered, Supplier<MarkedAnswer> marked) {
        added = false;
        boolean follows = answered.startsWith(prompt);
        String answer = follows ? asWritten(prompt, upToEnd(answered.substring(prompt.length()))) : "";
        if (follows && whole.startsWith(prompt + answer)) {
            found(message, new Span(prompt.length(), prompt.length() + answer.length()));
            return;
        }
        MarkedAnswer place = marked.get();
        if (place.isFoundIn(whole)) {
            Span span = place.withEnd(whole, prompt, ends)
                    .orElseThrow(() -> inexact(
                            message,
                            "it writes no token after it at which generation would stop",
                            "write the token that ends an answer in the template"));
            found(message, span);
            return;
        }
        if (!follows && !place.isShortenedIn(whole)) {
            throw inexact(
                    message,
                    "its text does not begin with the prompt that asks for it",
                    "mark the answers in the template with {% generation %}");
        }
        if (isLast) {
            throw inexact(
                    message,
                    follows
                            ? "it is written differently once other messages follow"
                            : "only a part of it is written, such as without its thoughts",
                    follows
                            ? "end the conversation with the answer"
                            : "mark the answers in the template with {% generation %}");
        }
        leftOut = true;
    }

    /**
     * Checks the answer added last, unless it was left out.
     *
     * @param called the name of a function that it calls
     * @throws IllegalArgumentException if the answer lacks the name
     */
    void requireWritten(int message, String called) {
        if (!added) {
            return;
        }
        Span last = found.get(found.size() - 1);
        if (!whole.substring(last.start(), last.end()).contains(called)) {
            throw inexact(
                    message, "it does not write its call of the function " + called, "take the rows with calls out");
        }
    }

    private void found(int message, Span span) {
        if (!found.isEmpty() && span.start() < found.get(found.size() - 1).end()) {
            throw inexact(
                    message,
                    "its text overlaps that of the answer before it",
                    "mark the answers in the template with {% generation %}");
        }
        found.add(span);
        added = true;
    }

    /** In order. */
    List<Span> found() {
        return found;
    }

    /** Whether an earlier answer was left out. */
    boolean leftOut() {
        return leftOut;
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

    /** The answer with the end that the whole text gives it: some templates end the last one alone, or by another token. */
    private String asWritten(String prompt, String answer) {
        if (whole.startsWith(prompt + answer)) {
            return ends.stream().anyMatch(answer::endsWith)
                    ? answer
                    : answer + endAt(prompt.length() + answer.length());
        }
        for (String end : ends) {
            String body = answer.endsWith(end) ? answer.substring(0, answer.length() - end.length()) : "";
            if (!body.isEmpty() && whole.startsWith(prompt + body)) {
                int from = prompt.length() + body.length();
                return body + endAt(from);
            }
        }
        return answer;
    }

    /** The end of an answer that the whole text has at a place; none if there is none. */
    private String endAt(int from) {
        return ends.stream()
                .filter(end -> whole.startsWith(end, from))
                .findFirst()
                .orElse("");
    }

    private String upToEnd(String answer) {
        int end = answer.length();
        for (String special : specialEnds) {
            int at = answer.indexOf(special);
            end = at < 0 ? end : Math.min(end, at + special.length());
        }
        String cut = answer.substring(0, end);
        String bare = Whitespace.stripTrailing(cut);
        return ends.stream().anyMatch(bare::endsWith) ? bare : cut;
    }

    private static IllegalArgumentException inexact(int message, String reason, String remedy) {
        return new IllegalArgumentException("the checkpoint's own chat template does not let the answer in message "
                + message + " be told from the rest: " + reason + "; " + remedy + ", or name another template");
    }
}
