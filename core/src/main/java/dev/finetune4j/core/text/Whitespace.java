package dev.finetune4j.core.text;

/**
 * White space as Python's {@code str.strip} sees it, which is what {@code trim} in a published template means. It
 * differs from {@link String#strip()} in the no-break spaces and U+0085.
 */
final class Whitespace {
    private Whitespace() {}

    static String strip(String text) {
        String head = stripTrailing(text);
        int start = 0;
        while (start < head.length() && isWhite(head.charAt(start))) {
            start++;
        }
        return head.substring(start);
    }

    static String stripTrailing(String text) {
        int end = text.length();
        while (end > 0 && isWhite(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(0, end);
    }

    static boolean isBlank(String text) {
        return stripTrailing(text).isEmpty();
    }

    private static boolean isWhite(char c) {
        return Character.isWhitespace(c) || Character.isSpaceChar(c) || c == '\u0085';
    }
}
