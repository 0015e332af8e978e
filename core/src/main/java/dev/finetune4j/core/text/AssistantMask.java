package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.JinjaTemplate.Span;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
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
    private static final String NO_END = "it writes no token after it at which generation would stop";
    private static final String WRITE_END = "write the token that ends an answer in the template";

    private final String whole;
    private final Ends ends;
    private final List<Span> found = new ArrayList<>();
    private String appended = "";
    private boolean leftOut;

    /**
     * How a template ends answers.
     *
     * @param texts of tokens that end an answer; white space after one of them belongs to no answer
     * @param special those of them that no message can spell; nothing after the first of them belongs to an answer, since
     *     generation stops there
     * @param next the token with which the next turn begins, which is what the model writes at the end of an answer where the
     *     template writes none there
     * @param result the same for an answer that calls a function, whose result comes next
     * @param eos the tokenizer's own end token; where it follows another end, both are learned
     * @param required whether an answer without an end is refused
     */
    record Ends(
            List<String> texts,
            List<String> special,
            Optional<String> next,
            Optional<String> result,
            Optional<String> eos,
            boolean required) {}

    /** For one text. */
    AssistantMask(String whole, Ends ends) {
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
     * @param called the names of the functions that it calls, without which it would teach to say nothing instead
     * @param marked the whole text with a mark in place of the answer; asked for if those are no prefixes of the whole
     * @throws IllegalArgumentException if the answer cannot be told from the rest
     */
    void add(
            int message,
            boolean isLast,
            String prompt,
            String answered,
            List<String> called,
            Supplier<MarkedAnswer> marked) {
        Optional<String> after = called.isEmpty() ? ends.next() : ends.result();
        boolean follows = answered.startsWith(prompt);
        String answer = follows ? asWritten(prompt, upToEnd(answered.substring(prompt.length()))) : "";
        if (follows && whole.startsWith(prompt + answer)) {
            requireWritten(message, called, answer);
            int end = prompt.length() + answer.length();
            boolean ended = ends.texts().stream().anyMatch(answer::endsWith);
            found(message, prompt.length(), ended ? end : endOf(message, isLast, true, end, after));
            return;
        }
        MarkedAnswer place = marked.get();
        if (place.isFoundIn(whole)) {
            Optional<Span> span = place.withEnd(whole, prompt, ends.texts());
            int start = place.start(prompt);
            found(
                    message,
                    start,
                    span.isPresent() ? span.get().end() : endOf(message, isLast, false, place.end(whole), after));
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

    private static void requireWritten(int message, List<String> called, String answer) {
        for (String name : called) {
            if (!answer.contains(name)) {
                throw inexact(
                        message, "it does not write its call of the function " + name, "take the rows with calls out");
            }
        }
    }

    /**
     * Where an answer ends that no end token follows: behind the token that begins the next turn, or behind one that is put
     * there if nothing follows. Where a template tells its turns apart by words alone, the last answer stays as it writes it, if
     * that is exact; the report of the data warns of answers without an end.
     */
    private int endOf(int message, boolean isLast, boolean exact, int end, Optional<String> after) {
        if (!ends.required()) {
            return end;
        }
        Optional<String> next = after.filter(token -> whole.startsWith(token, end));
        if (next.isPresent()) {
            return end + next.get().length();
        }
        boolean atEnd = isLast && Whitespace.isBlank(whole.substring(end));
        appended = atEnd ? after.orElse("") : "";
        if (appended.isEmpty() && atEnd && exact) {
            return end;
        }
        if (appended.isEmpty()) {
            throw inexact(message, NO_END, WRITE_END);
        }
        return whole.length() + appended.length();
    }

    private void found(int message, int start, int end) {
        int after = end;
        while (after < whole.length() && Whitespace.isBlank(whole.substring(after, after + 1))) {
            after++;
        }
        int from = after;
        Span span = new Span(
                start,
                ends.eos()
                        .filter(eos -> !eos.isEmpty() && whole.startsWith(eos, from))
                        .map(eos -> from + eos.length())
                        .orElse(end));
        if (!found.isEmpty() && span.start() < found.get(found.size() - 1).end()) {
            throw inexact(
                    message,
                    "its text overlaps that of the answer before it",
                    "mark the answers in the template with {% generation %}");
        }
        found.add(span);
    }

    /** The token that has to be put behind the whole text, with which its last answer ends; mostly none. */
    String appended() {
        return appended;
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
            return ends.texts().stream().anyMatch(answer::endsWith)
                    ? answer
                    : answer + endAt(prompt.length() + answer.length());
        }
        for (String end : ends.texts()) {
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
        return ends.texts().stream()
                .filter(end -> whole.startsWith(end, from))
                .findFirst()
                .orElse("");
    }

    private String upToEnd(String answer) {
        int end = answer.length();
        for (String special : ends.special()) {
            int at = answer.indexOf(special);
            end = at < 0 ? end : Math.min(end, at + special.length());
        }
        String cut = answer.substring(0, end);
        String bare = Whitespace.stripTrailing(cut);
        return ends.texts().stream().anyMatch(bare::endsWith) ? bare : cut;
    }

    private static IllegalArgumentException inexact(int message, String reason, String remedy) {
        return new IllegalArgumentException("the checkpoint's own chat template does not let the answer in message "
                + message + " be told from the rest: " + reason + "; " + remedy + ", or name another template");
    }
}
