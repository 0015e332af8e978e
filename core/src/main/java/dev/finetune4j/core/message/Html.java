package dev.finetune4j.core.message;

/** Texts in HTML pages. Stateless. */
public final class Html {
    private static final int REPLACEMENT = 0xFFFD;

    private Html() {}

    /** A text so that it stands as it is between tags or in a quoted attribute; control characters become U+FFFD. */
    public static String escaped(String text) {
        StringBuilder safe = new StringBuilder(text.length() + 16);
        text.codePoints().forEach(c -> {
            switch (c) {
                case '&' -> safe.append("&amp;");
                case '<' -> safe.append("&lt;");
                case '>' -> safe.append("&gt;");
                case '"' -> safe.append("&quot;");
                case '\r' -> safe.append("&#13;");
                default -> safe.appendCodePoint(Character.isISOControl(c) && c != '\n' && c != '\t' ? REPLACEMENT : c);
            }
        });
        return safe.toString();
    }
}
