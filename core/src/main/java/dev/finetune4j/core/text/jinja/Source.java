package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.TemplateError;
import java.util.regex.Pattern;

/**
 * The text of a template as Jinja reads it: with {@code \n} for every line break and without one at the very end.
 *
 * @param text what is left
 */
record Source(String text) {
    private static final Pattern LINE_BREAK = Pattern.compile("\r\n|\r");

    static Source of(String template) {
        String text = LINE_BREAK.matcher(template).replaceAll("\n");
        return new Source(text.endsWith("\n") ? text.substring(0, text.length() - 1) : text);
    }

    /** An exception for a place in the text. */
    JinjaException error(int at, String reason) {
        return error(at, reason, false);
    }

    JinjaException error(int at, TemplateError failure) {
        return error(at, failure.reason(), failure.isRefusal());
    }

    private JinjaException error(int at, String reason, boolean refusal) {
        int place = Math.min(at, text.length());
        int line = 1;
        int lineStart = 0;
        for (int i = 0; i < place; i++) {
            if (text.charAt(i) == '\n') {
                line++;
                lineStart = i + 1;
            }
        }
        return new JinjaException(reason, line, place - lineStart + 1, refusal);
    }
}
