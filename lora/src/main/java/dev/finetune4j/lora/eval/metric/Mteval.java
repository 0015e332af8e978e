package dev.finetune4j.lora.eval.metric;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * The tokenization of NIST's {@code mteval-v13a}, which sacrebleu calls {@code 13a}, and the one that it calls {@code zh}: the same after
 * spaces around each Chinese character. Stateless.
 */
public final class Mteval {
    /** ASCII punctuation and symbols but the apostrophe, comma, hyphen and full stop. */
    private static final Pattern SYMBOL = Pattern.compile("[ -&(-+/:-@\\[-`{-~]");

    private static final Pattern POINT_AFTER_NO_DIGIT = Pattern.compile("([^0-9])([.,])");
    private static final Pattern POINT_BEFORE_NO_DIGIT = Pattern.compile("([.,])([^0-9])");
    private static final Pattern HYPHEN_AFTER_DIGIT = Pattern.compile("([0-9])-");

    /** What counts as Chinese, by first and last code point; the list is sacrebleu's as it works, general punctuation included. */
    private static final int[][] CHINESE = {
        {0x2001, 0x2A6D}, // sacrebleu writes Extension B with too few digits
        {0x2E80, 0x2EFF},
        {0x2F00, 0x2FDF},
        {0x2FF0, 0x2FFF},
        {0x3000, 0x303F},
        {0x3100, 0x312F},
        {0x31A0, 0x31BF},
        {0x31C0, 0x31EF},
        {0x3200, 0x33FF},
        {0x3400, 0x4DB5},
        {0x4E00, 0x9FBB},
        {0xF900, 0xFA2D},
        {0xFA30, 0xFA6A},
        {0xFA70, 0xFAD9},
        {0xFE10, 0xFE1F},
        {0xFE30, 0xFE4F},
        {0xFF00, 0xFFEF},
    };

    private Mteval() {}

    /** {@code 13a}. */
    public static List<String> western(String text) {
        String line = stripTrailing(text)
                .replace("<skipped>", "")
                .replace("-\n", "")
                .replace('\n', ' ')
                .replace("&quot;", "\"")
                .replace("&amp;", "&")
                .replace("&lt;", "<")
                .replace("&gt;", ">");
        return parted(" " + line + " ");
    }

    /** {@code zh}. */
    public static List<String> chinese(String text) {
        StringBuilder line = new StringBuilder();
        List<String> words = split(text);
        String stripped = words.isEmpty() ? "" : text.substring(text.indexOf(words.get(0)));
        stripTrailing(stripped).codePoints().forEach(c -> {
            if (isChinese(c)) {
                line.append(' ').appendCodePoint(c).append(' ');
            } else {
                line.appendCodePoint(c);
            }
        });
        return parted(line.toString());
    }

    private static List<String> parted(String line) {
        String parted = SYMBOL.matcher(line).replaceAll(match -> " \\" + match.group() + " ");
        parted = POINT_AFTER_NO_DIGIT.matcher(parted).replaceAll("$1 $2 ");
        parted = POINT_BEFORE_NO_DIGIT.matcher(parted).replaceAll(" $1 $2");
        parted = HYPHEN_AFTER_DIGIT.matcher(parted).replaceAll("$1 - ");
        return split(parted);
    }

    private static boolean isChinese(int c) {
        for (int[] range : CHINESE) {
            if (c >= range[0] && c <= range[1]) {
                return true;
            }
        }
        return false;
    }

    /** The parts between white space, which is every character that Unicode calls so and the separators of ASCII. */
    public static List<String> split(String text) {
        List<String> parts = new ArrayList<>();
        StringBuilder part = new StringBuilder();
        text.codePoints().forEach(c -> {
            if (!isSpace(c)) {
                part.appendCodePoint(c);
            } else if (part.length() > 0) {
                parts.add(part.toString());
                part.setLength(0);
            }
        });
        if (part.length() > 0) {
            parts.add(part.toString());
        }
        return List.copyOf(parts);
    }

    /** Whether Python's {@code str.split} parts a text here. */
    public static boolean isSpace(int c) {
        return Character.isSpaceChar(c) || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) || c == 0x85;
    }

    private static String stripTrailing(String text) {
        int end = text.length();
        while (end > 0 && isSpace(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(0, end);
    }
}
