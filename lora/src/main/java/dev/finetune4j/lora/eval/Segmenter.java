package dev.finetune4j.lora.eval;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.lora.eval.metric.Mteval;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Function;

/**
 * Parts a text into the tokens that BLEU and ROUGE count. A score depends on it, so its name is part of the metric's. Immutable and
 * thread-safe, as far as a given function is.
 */
public final class Segmenter {
    private final String name;
    private final Function<String, List<String>> split;

    private Segmenter(String name, Function<String, List<String>> split) {
        this.name = name;
        this.split = split;
    }

    /** Every character but white space: for Chinese texts, and what sacrebleu calls {@code char}. */
    public static Segmenter characters() {
        return new Segmenter(
                "characters",
                text -> text.codePoints()
                        .filter(c -> !Mteval.isSpace(c))
                        .mapToObj(Character::toString)
                        .toList());
    }

    /**
     * Runs of letters and digits in small letters, and each Chinese character by itself; the rest does not count. What ROUGE is usually computed with
     * for English.
     */
    public static Segmenter words() {
        return new Segmenter("words", Segmenter::split);
    }

    /** The tokenization of {@code mteval-v13a}, sacrebleu's default: for languages that write spaces. */
    public static Segmenter mteval13a() {
        return new Segmenter("13a", Mteval::western);
    }

    /** The same with each Chinese character by itself, which sacrebleu calls {@code zh}. */
    public static Segmenter mtevalChinese() {
        return new Segmenter("zh", Mteval::chinese);
    }

    /**
     * Chinese words by forward maximum matching: at each place the longest word of a list, else one character. Runs of Latin letters and
     * digits stay together, in small letters; punctuation does not count.
     *
     * @param name of the list, for reports
     * @param words such as the domain's terms, or the first column of a dictionary
     * @throws IllegalArgumentException without a word
     */
    public static Segmenter longestMatch(String name, Collection<String> words) {
        Set<String> known = Set.copyOf(Arguments.given(words, "longestMatch(words)"));
        int longest = known.stream().mapToInt(String::length).max().orElse(0);
        if (longest == 0) {
            throw new IllegalArgumentException("longestMatch(words) has no word; give some, or take characters()");
        }
        return of(name, text -> longestMatches(text.toLowerCase(Locale.ROOT), known, longest));
    }

    /**
     * Another way to part a text, such as {@code of("jieba", text -> jieba.sentenceProcess(text))}.
     *
     * @param name for reports
     */
    public static Segmenter of(String name, Function<String, List<String>> split) {
        return new Segmenter(Arguments.given(name, "of(name)"), Arguments.given(split, "of(split)"));
    }

    /** What reports call it. */
    public String name() {
        return name;
    }

    /** The tokens of a text, in order. */
    public List<String> tokens(String text) {
        return split.apply(Arguments.given(text, "tokens(text)"));
    }

    private static List<String> split(String text) {
        return longestMatches(text.toLowerCase(Locale.ROOT), Set.of(), 0);
    }

    private static List<String> longestMatches(String text, Set<String> words, int longest) {
        List<String> tokens = new ArrayList<>();
        int at = 0;
        while (at < text.length()) {
            int end = Math.max(wordEnd(text, at), knownEnd(text, at, words, longest));
            if (end > at) {
                tokens.add(text.substring(at, end));
                at = end;
            } else {
                at += Character.charCount(text.codePointAt(at));
            }
        }
        return tokens;
    }

    /** The end of the run of letters and digits that begins here, or of one Chinese character; the place itself for anything else. */
    private static int wordEnd(String text, int start) {
        int end = start;
        while (end < text.length() && Character.isLetterOrDigit(text.codePointAt(end))) {
            int c = text.codePointAt(end);
            if (Character.isIdeographic(c)) {
                return end == start ? end + Character.charCount(c) : end;
            }
            end += Character.charCount(c);
        }
        return end;
    }

    private static int knownEnd(String text, int start, Set<String> words, int longest) {
        for (int end = Math.min(text.length(), start + longest); end > start; end--) {
            if (words.contains(text.substring(start, end))) {
                return end;
            }
        }
        return start;
    }
}
