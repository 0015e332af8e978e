package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.PythonText;
import dev.finetune4j.core.text.jinja.python.TemplateError;

/** What the text between the quotes of a string literal stands for, by Python's escapes. */
final class StringLiteral {
    private static final String SIMPLE = "\\'\"abfnrtv";
    private static final String MEANING = "\\'\"\u0007\b\f\n\r\t\u000b";

    private final String literal;
    private final StringBuilder text = new StringBuilder();
    private int at;

    private StringLiteral(String literal) {
        this.literal = literal;
    }

    static String unescape(String literal) {
        if (literal.indexOf('\\') < 0) {
            return literal;
        }
        StringLiteral reader = new StringLiteral(literal);
        while (reader.at < literal.length()) {
            char c = literal.charAt(reader.at++);
            if (c == '\\') {
                reader.escape();
            } else {
                reader.text.append(c);
            }
        }
        return reader.text.toString();
    }

    private void escape() {
        int c = literal.codePointAt(at);
        at += Character.charCount(c);
        int simple = SIMPLE.indexOf(c);
        if (simple >= 0) {
            text.append(MEANING.charAt(simple));
        } else if (c == 'x') {
            hexadecimal(2);
        } else if (c == 'u') {
            hexadecimal(4);
        } else if (c == 'U') {
            hexadecimal(8);
        } else if (c >= '0' && c <= '7') {
            octal();
        } else if (c == 'N') {
            named();
        } else if (c > 0x7f) {
            // Jinja writes such a character as an escape first, and then the backslash before it escapes that one's.
            text.append('\\').append(PythonText.asciiEscape(c).substring(1));
        } else if (c != '\n') {
            text.append('\\').appendCodePoint(c);
        }
    }

    private void hexadecimal(int digits) {
        int end = at + digits;
        if (end > literal.length() || !literal.substring(at, end).matches("[0-9a-fA-F]+")) {
            throw new TemplateError("an escape in a string is cut short: it needs " + digits + " hexadecimal digits");
        }
        long c = Long.parseLong(literal.substring(at, end), 16);
        if (c > Character.MAX_CODE_POINT) {
            throw new TemplateError("an escape in a string is beyond the last character of Unicode");
        }
        text.appendCodePoint((int) c);
        at = end;
    }

    private void octal() {
        int c = 0;
        at--;
        for (int i = 0; i < 3 && at < literal.length() && Character.digit(literal.charAt(at), 8) >= 0; i++) {
            c = 8 * c + Character.digit(literal.charAt(at++), 8);
        }
        text.append((char) c);
    }

    private void named() {
        int end = literal.indexOf('}', at);
        if (!literal.startsWith("{", at) || end < 0) {
            throw new TemplateError("a \\N escape in a string needs the name of a character in braces");
        }
        try {
            text.appendCodePoint(Character.codePointOf(literal.substring(at + 1, end)));
        } catch (IllegalArgumentException e) {
            throw new TemplateError("no character has the name in the escape \\N" + literal.substring(at, end + 1));
        }
        at = end + 1;
    }
}
