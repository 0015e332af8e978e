package dev.finetune4j.core.text.jinja.python;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** What Python knows about text where Java sees it differently: white space, lines, case, and code points as places. */
public final class PythonText {
    private static final String LINE_BREAKS = "\n\r\u000b\f\u001c\u001d\u001e\u0085\u2028\u2029";

    /** What a piece of a text takes beside its characters. */
    public static final int PIECE_BYTES = 64;

    /** Steps for a character whose case is changed by itself. */
    private static final long PER_CHARACTER = 2;

    private static final char CAPITAL_SIGMA = '\u03a3';
    private static final char FINAL_SIGMA = '\u03c2';

    private PythonText() {}

    public static boolean isWhite(int c) {
        return Character.isWhitespace(c) || Character.isSpaceChar(c) || c == '\u0085';
    }

    public static boolean isBlank(String text) {
        return text.codePoints().allMatch(PythonText::isWhite);
    }

    public static String stripTrailing(String text) {
        int end = text.length();
        while (end > 0 && isWhite(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(0, end);
    }

    public static String stripLeading(String text) {
        int start = 0;
        while (start < text.length() && isWhite(text.charAt(start))) {
            start++;
        }
        return text.substring(start);
    }

    public static boolean isIdentifier(String name) {
        int first = name.codePointAt(0);
        return (first == '_' || Character.isUnicodeIdentifierStart(first))
                && name.codePoints().skip(1).allMatch(Character::isUnicodeIdentifierPart);
    }

    public static int length(String text) {
        Budget.chargeText(text.length());
        return text.codePointCount(0, text.length());
    }

    /** Whether places in code points are places in the text as Java counts. */
    public static boolean isPlain(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isSurrogate(text.charAt(i))) {
                return false;
            }
        }
        return true;
    }

    /** A piece by places in code points, which must be inside the text. */
    public static String piece(String text, int from, int to) {
        if (isPlain(text)) {
            return text.substring(from, to);
        }
        int start = text.offsetByCodePoints(0, from);
        return text.substring(start, text.offsetByCodePoints(start, to - from));
    }

    /** The characters, each as a text. */
    public static List<Object> characters(String text) {
        Budget.charge(text.length());
        Budget.allocate((long) PIECE_BYTES * text.length());
        List<Object> characters = new ArrayList<>(text.length());
        text.codePoints().forEach(c -> characters.add(Character.toString(c)));
        return characters;
    }

    /** As {@code str.splitlines}. */
    public static List<String> lines(String text, boolean keepEnds) {
        List<String> lines = new ArrayList<>();
        int start = 0;
        int i = 0;
        while (i < text.length()) {
            int end = i++;
            if (LINE_BREAKS.indexOf(text.charAt(end)) < 0) {
                continue;
            }
            if (text.charAt(end) == '\r' && i < text.length() && text.charAt(i) == '\n') {
                i++;
            }
            Budget.charge(1);
            Budget.allocate(PIECE_BYTES + 2L * (i - start));
            lines.add(text.substring(start, keepEnds ? i : end));
            start = i;
        }
        if (start < text.length()) {
            lines.add(text.substring(start));
        }
        return lines;
    }

    public static String upper(String text) {
        return text.toUpperCase(Locale.ROOT);
    }

    public static String lower(String text) {
        return text.toLowerCase(Locale.ROOT);
    }

    /** The first character in title case, the others in lower case. */
    public static String capitalize(String text) {
        if (text.isEmpty()) {
            return text;
        }
        int split = text.offsetByCodePoints(0, 1);
        // Lower case depends on the neighbours, so it is taken of the whole and cut where the first character's ends.
        String lower = lower(text);
        String head = lower(text.substring(0, split));
        return titleCase(text.codePointAt(0))
                + (lower.startsWith(head) ? lower.substring(head.length()) : lower(text.substring(split)));
    }

    /** As {@code str.title}: a character after a letter in lower case, others in title case. */
    public static String title(String text) {
        StringBuilder titled = new StringBuilder();
        Budget.charge(PER_CHARACTER * text.length());
        boolean inWord = false;
        int[] characters = text.codePoints().toArray();
        for (int i = 0; i < characters.length; i++) {
            titled.append(inWord ? lowerAt(characters, i) : titleCase(characters[i]));
            inWord = isCased(characters[i]);
        }
        return titled.toString();
    }

    public static String swapCase(String text) {
        StringBuilder swapped = new StringBuilder();
        Budget.charge(PER_CHARACTER * text.length());
        int[] characters = text.codePoints().toArray();
        for (int i = 0; i < characters.length; i++) {
            int c = characters[i];
            String one = Character.toString(c);
            swapped.append(
                    Character.isUpperCase(c) ? lowerAt(characters, i) : Character.isLowerCase(c) ? upper(one) : one);
        }
        return swapped.toString();
    }

    /** Lower case for comparing, where the two small sigmas are one. */
    public static String foldCase(String text) {
        StringBuilder folded = new StringBuilder();
        Budget.charge(PER_CHARACTER * text.length());
        upper(text).codePoints().forEach(c -> folded.append(lower(Character.toString(c))));
        return folded.toString();
    }

    /** A character in lower case, which for a sigma depends on whether it ends a word. */
    private static String lowerAt(int[] characters, int i) {
        boolean endsWord =
                i > 0 && isCased(characters[i - 1]) && (i + 1 == characters.length || !isCased(characters[i + 1]));
        return characters[i] == CAPITAL_SIGMA && endsWord
                ? Character.toString(FINAL_SIGMA)
                : lower(Character.toString(characters[i]));
    }

    private static String titleCase(int c) {
        String one = Character.toString(c);
        String upper = upper(one);
        if (Character.toTitleCase(c) != c || upper.codePointCount(0, upper.length()) == 1) {
            return Character.toString(Character.toTitleCase(c));
        }
        int split = upper.offsetByCodePoints(0, 1);
        return upper.substring(0, split) + (c == '\u0149' ? upper.substring(split) : lower(upper.substring(split)));
    }

    public static boolean isCased(int c) {
        return Character.isUpperCase(c) || Character.isLowerCase(c) || Character.isTitleCase(c);
    }

    /** Whether {@code repr} writes the character as it is. */
    public static boolean isPrintable(int c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR -> false;
            case Character.SPACE_SEPARATOR -> c == ' ';
            default -> true;
        };
    }

    /** A character as {@code backslashreplace} writes it. */
    public static String asciiEscape(int c) {
        StringBuilder escape = new StringBuilder(10).append('\\');
        char kind = c < 0x100 ? 'x' : c < 0x10000 ? 'u' : 'U';
        return appendHex(escape.append(kind), c, kind == 'x' ? 2 : kind == 'u' ? 4 : 8)
                .toString();
    }

    /** Adds a number in hexadecimal with zeros in front. */
    public static StringBuilder appendHex(StringBuilder text, int number, int digits) {
        for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
            text.append(Character.forDigit(number >>> shift & 15, 16));
        }
        return text;
    }

    /** As {@code repr} of a text. */
    public static String quoted(String text) {
        char quote = text.indexOf('\'') >= 0 && text.indexOf('"') < 0 ? '"' : '\'';
        Budget.charge(text.length() / 2);
        StringBuilder quoted = new StringBuilder(text.length() + 2).append(quote);
        text.codePoints().forEach(c -> {
            switch (c) {
                case '\n' -> quoted.append("\\n");
                case '\r' -> quoted.append("\\r");
                case '\t' -> quoted.append("\\t");
                case '\\' -> quoted.append("\\\\");
                default -> {
                    if (c == quote) {
                        quoted.append('\\').append(quote);
                    } else if (isPrintable(c)) {
                        quoted.appendCodePoint(c);
                    } else {
                        quoted.append(asciiEscape(c));
                    }
                }
            }
        });
        return quoted.append(quote).toString();
    }
}
