package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.JinjaTemplate.Span;
import java.util.List;
import java.util.Optional;

/**
 * An answer that is found by a mark: the conversation written with the mark as the answer shows what stands before and
 * after it. The answer's place is certain if the whole text has both, and between them what the message says and nothing
 * else but white space.
 *
 * @param before what the template writes before the mark
 * @param after what it writes after the mark; with {@code before} empty if the mark is not there exactly once
 * @param content what the message says; empty if it says something by other fields, which a mark cannot stand for
 * @param called the names of the functions that it calls
 */
record MarkedAnswer(String before, String after, String content, List<String> called) {
    /** An answer that no mark can find. */
    static final MarkedAnswer NONE = new MarkedAnswer("", "", "", List.of());

    /** Of a text with the mark in it. */
    static MarkedAnswer of(String text, String mark, String content, List<String> called) {
        int at = text.indexOf(mark);
        if (at < 0 || at != text.lastIndexOf(mark)) {
            return NONE;
        }
        return new MarkedAnswer(text.substring(0, at), text.substring(at + mark.length()), content, called);
    }

    /** Whether the whole text has the answer in full. */
    boolean isFoundIn(String whole) {
        if (!stands(whole)) {
            return false;
        }
        String written = withoutWhite(written(whole));
        return called.isEmpty()
                ? written.equals(withoutWhite(content))
                : written.contains(withoutWhite(content))
                        && called.stream().allMatch(name -> written.contains(withoutWhite(name)));
    }

    /** Whether the whole text has the last part of the answer alone, as if it were without its thoughts. */
    boolean isShortenedIn(String whole) {
        return called.isEmpty() && stands(whole) && withoutWhite(content).endsWith(withoutWhite(written(whole)));
    }

    /**
     * The answer with the token that ends it.
     *
     * @param prompt the text that asks for the answer; white space that it lacks belongs to the answer
     * @param ends the texts of tokens that end an answer
     * @return empty if none of them follows
     */
    Optional<Span> withEnd(String whole, String prompt, List<String> ends) {
        int from = end(whole);
        while (from < whole.length() && Whitespace.isBlank(whole.substring(from, from + 1))) {
            from++;
        }
        int end = from;
        return ends.stream()
                .filter(token -> whole.startsWith(token, end))
                .findFirst()
                .map(token -> new Span(start(prompt), end + token.length()));
    }

    /** The place behind it in the whole text. */
    int end(String whole) {
        return whole.length() - after.length();
    }

    /** The answer begins where its announcement does not go on as the prompt's does. */
    int start(String prompt) {
        String bare = Whitespace.stripTrailing(prompt);
        String announced = Whitespace.strip(bare.substring(bare.lastIndexOf('\n') + 1));
        String head = Whitespace.stripTrailing(before);
        int start = before.length();
        if (announced.isEmpty() || !head.endsWith(announced)) {
            return start;
        }
        int same = 0;
        while (head.length() + same < start
                && bare.length() + same < prompt.length()
                && before.charAt(head.length() + same) == prompt.charAt(bare.length() + same)) {
            same++;
        }
        return head.length() + same;
    }

    private boolean stands(String whole) {
        return !(Whitespace.isBlank(content) && called.isEmpty())
                && before.length() + after.length() < whole.length()
                && whole.startsWith(before)
                && whole.endsWith(after);
    }

    private String written(String whole) {
        return whole.substring(before.length(), whole.length() - after.length());
    }

    private static String withoutWhite(String text) {
        StringBuilder rest = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            if (!Whitespace.isBlank(text.substring(i, i + 1))) {
                rest.append(text.charAt(i));
            }
        }
        return rest.toString();
    }
}
