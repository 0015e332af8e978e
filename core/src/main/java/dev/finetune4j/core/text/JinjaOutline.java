package dev.finetune4j.core.text;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A Jinja source in a spelling that two sources of the same meaning share: no comments, no blanks inside tags outside
 * of string literals, single quotes, {@code \n} for a line break in a literal, {@code a.b} for {@code a['b']}, one
 * literal for a sum of two, and text outside of tags only where it would be written, each marked by {@link #TEXT}.
 *
 * <p>White space is dropped as <a
 * href="https://jinja.palletsprojects.com/en/stable/templates/#whitespace-control">Jinja does</a> with {@code
 * trim_blocks} and {@code lstrip_blocks} on, which is how chat templates are rendered.
 */
final class JinjaOutline {
    /** Stands before text that the template writes from outside of its tags. */
    static final String TEXT = "\u00a6";

    private static final String LITERAL = "'(?:[^'\\\\]++|\\\\.)*+'|\"(?:[^\"\\\\]++|\\\\.)*+\"";
    /** A tag may hold its own end sign in a literal. */
    private static final Pattern TAG = Pattern.compile(
            "\\{#(?:[^#]++|#(?!}))*+#}|\\{%(?:[^'\"%]++|" + LITERAL + "|%(?!}))*+%}|\\{\\{(?:[^'\"}]++|" + LITERAL
                    + "|}(?!}))*+}}",
            Pattern.DOTALL);

    private static final Pattern OPEN = Pattern.compile("\\{[#%{]");
    private static final Pattern TOKEN = Pattern.compile(LITERAL + "|\\s+|[^'\"\\s]+", Pattern.DOTALL);
    private static final Pattern ITEM = Pattern.compile("\\['(\\w+)']");
    private static final Pattern LINE_START_BLANKS = Pattern.compile("(?<=\\n|^)[ \\t]+\\z");

    private JinjaOutline() {}

    static String of(String source) {
        String text = source.endsWith("\n") ? source.substring(0, source.length() - 1) : source;
        StringBuilder outline = new StringBuilder();
        Matcher tag = TAG.matcher(text);
        int end = 0;
        String before = "";
        Matcher open = OPEN.matcher(text);
        // A tag without an end ends the reading: looking for the ends of those after it would cost length times length.
        while (open.find(end) && tag.region(open.start(), text.length()).lookingAt()) {
            written(text.substring(end, tag.start()), before, tag.group(), outline);
            before = tag.group();
            if (!before.startsWith("{#")) {
                inside(before, outline);
            }
            end = tag.end();
        }
        written(text.substring(end), before, "", outline);
        return ITEM.matcher(outline).replaceAll(".$1").replace("'+'", "");
    }

    /** Adds what is left of the text between two tags. */
    private static void written(String between, String before, String after, StringBuilder outline) {
        String text = between;
        boolean blockBefore = before.startsWith("{%") || before.startsWith("{#");
        if (blockBefore && text.startsWith("\n")) {
            text = text.substring(1);
        }
        if (before.startsWith("-", Math.max(0, before.length() - 3))) {
            text = text.stripLeading();
        }
        if (after.startsWith("-", 2)) {
            text = text.stripTrailing();
        } else if (after.startsWith("{%") || after.startsWith("{#")) {
            text = LINE_START_BLANKS.matcher(text).replaceFirst("");
        }
        if (!text.isEmpty()) {
            outline.append(TEXT).append(text.replace("\n", "\\n"));
        }
    }

    private static void inside(String tag, StringBuilder outline) {
        int from = tag.startsWith("-", 2) ? 3 : 2;
        int to = tag.length() - (tag.startsWith("-", tag.length() - 3) ? 3 : 2);
        outline.append(tag, 0, 2);
        Matcher token = TOKEN.matcher(tag.substring(Math.min(from, to), to));
        while (token.find()) {
            String part = token.group();
            if (part.startsWith("'") || part.startsWith("\"")) {
                String literal = part.substring(1, part.length() - 1).replace("\n", "\\n");
                outline.append('\'').append(literal).append('\'');
            } else if (!part.isBlank()) {
                outline.append(part);
            }
        }
        outline.append(tag, tag.length() - 2, tag.length());
    }
}
