package dev.finetune4j.examples.basemodel;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Turns compact question patterns into sentences: {@code (a|b)} stands for either choice, an empty choice is allowed,
 * and groups do not nest.
 */
final class Phrasings {
    private Phrasings() {}

    /**
     * All sentences of a pattern; the choices of the last group change fastest.
     *
     * @throws IllegalArgumentException when a group is not closed
     */
    static List<String> expand(String pattern) {
        int open = pattern.indexOf('(');
        if (open < 0) {
            return List.of(pattern);
        }
        int close = pattern.indexOf(')', open);
        if (close < 0) {
            throw new IllegalArgumentException(
                    "The pattern '" + pattern + "' opens a group at " + open + " and never closes it: add ')'");
        }
        List<String> tails = expand(pattern.substring(close + 1));
        List<String> sentences = new ArrayList<>();
        for (String choice : pattern.substring(open + 1, close).split("\\|", -1)) {
            for (String tail : tails) {
                sentences.add(pattern.substring(0, open) + choice + tail);
            }
        }
        return sentences;
    }

    /** Replaces {@code {0}}, {@code {1}}, … by the fillers. */
    static String fill(String pattern, List<String> fillers) {
        String sentence = pattern;
        for (int i = 0; i < fillers.size(); i++) {
            sentence = sentence.replace("{" + i + "}", fillers.get(i));
        }
        return sentence;
    }

    /** The sentence with an upper-case first letter; Chinese stays as it is. */
    static String capitalise(String sentence) {
        return sentence.substring(0, 1).toUpperCase(Locale.ROOT) + sentence.substring(1);
    }

    /** What is left for comparing two questions: letters and digits, in lower case. */
    static String normalForm(String question) {
        StringBuilder kept = new StringBuilder(question.length());
        question.toLowerCase(Locale.ROOT)
                .codePoints()
                .filter(Character::isLetterOrDigit)
                .forEach(kept::appendCodePoint);
        return kept.toString();
    }
}
