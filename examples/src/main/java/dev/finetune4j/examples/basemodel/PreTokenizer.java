package dev.finetune4j.examples.basemodel;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Splits text into the words inside which a byte-level BPE may merge, by the regular expression of GPT-2 (the
 * {@code use_regex} mode of the ByteLevel pre-tokenizer).
 */
final class PreTokenizer {
    private static final Pattern WORD = Pattern.compile(
            "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
            // Without this flag \s is ASCII only and an ideographic space would not count as white space.
            Pattern.UNICODE_CHARACTER_CLASS);

    private PreTokenizer() {}

    static List<String> words(String text) {
        List<String> words = new ArrayList<>();
        Matcher matcher = WORD.matcher(text);
        while (matcher.find()) {
            words.add(matcher.group());
        }
        return words;
    }

    /**
     * Splits a word into the parts inside which merges are learned: a run of ASCII without digits, a single digit, or
     * a single character beyond ASCII. Every learned merge lies inside such a part, so encoding whole words gives the
     * same tokens as encoding the parts.
     */
    static List<String> parts(String word) {
        List<String> parts = new ArrayList<>();
        int start = 0;
        for (int at = 0; at < word.length(); ) {
            int codePoint = word.codePointAt(at);
            int next = at + Character.charCount(codePoint);
            if (codePoint >= 128 || (codePoint >= '0' && codePoint <= '9')) {
                if (at > start) {
                    parts.add(word.substring(start, at));
                }
                parts.add(word.substring(at, next));
                start = next;
            }
            at = next;
        }
        if (start < word.length()) {
            parts.add(word.substring(start));
        }
        return parts;
    }
}
