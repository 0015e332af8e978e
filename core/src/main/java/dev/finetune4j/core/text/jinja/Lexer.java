package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.Token.Kind;
import dev.finetune4j.core.text.jinja.python.Numbers;
import dev.finetune4j.core.text.jinja.python.PythonText;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Cuts a template into {@link Token}s and decides which white space around tags is kept, as Jinja does with {@code
 * trim_blocks} and {@code lstrip_blocks} on.
 */
final class Lexer {
    /** White space of Python's regular expressions on text. */
    private static final String S =
            "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";

    private static final Pattern TAG = Pattern.compile(
            "(?<raw>\\{%(?<rawSign>[-+]?)" + S + "*raw" + S + "*(?:-%}" + S + "*+|%}))|(?<tag>\\{[%#{])(?<sign>[-+]?)");
    private static final Pattern RAW_END =
            Pattern.compile("\\{%(?<sign>[-+]?)" + S + "*endraw" + S + "*(?:\\+%}|-%}" + S + "*+|%}\\n?)");
    private static final Pattern COMMENT_END = Pattern.compile("\\+#}|-#}" + S + "*+|#}\\n?");
    private static final Pattern BLOCK_END = Pattern.compile("\\+%}|-%}" + S + "*+|%}\\n?");
    private static final Pattern PRINT_END = Pattern.compile("-}}" + S + "*+|}}");
    private static final Pattern BLANKS = Pattern.compile(S + "++");
    private static final Pattern FLOAT = Pattern.compile(
            "(?<!\\.)(?:\\d+_)*+\\d+(?:(?:\\.(?:\\d+_)*+\\d+)?[eE][-+]?(?:\\d+_)*+\\d+|\\.(?:\\d+_)*+\\d+)");
    private static final Pattern INTEGER = Pattern.compile(
            "0[bB](?:_?[01])++|0[oO](?:_?[0-7])++|0[xX](?:_?[0-9a-fA-F])++|[1-9](?:_?\\d)*+|0(?:_?0)*+");
    private static final Pattern NAME = Pattern.compile("[\\p{L}\\p{M}\\p{N}\\p{Pc}]++");
    private static final Pattern OPERATOR = Pattern.compile("//|\\*\\*|==|!=|>=|<=|[-+/*%~\\[\\](){}<>=.:|,;]");

    private final Source source;
    private final String text;
    private final List<Token> tokens = new ArrayList<>();
    private int at;
    private boolean lineStarting = true;

    private Lexer(Source source) {
        this.source = source;
        this.text = source.text();
    }

    static List<Token> tokens(Source source) {
        Lexer lexer = new Lexer(source);
        while (lexer.at < lexer.text.length()) {
            lexer.dataAndTag();
        }
        lexer.tokens.add(new Token(Kind.END, "", lexer.text.length()));
        return lexer.tokens;
    }

    private void dataAndTag() {
        Matcher tag = TAG.matcher(text);
        if (!tag.find(at)) {
            data(text.substring(at), at);
            at = text.length();
            return;
        }
        boolean raw = tag.group("raw") != null;
        String kind = raw ? "{%" : tag.group("tag");
        String sign = raw ? tag.group("rawSign") : tag.group("sign");
        data(kept(text.substring(at, tag.start()), sign, !kind.equals("{{")), at);
        moveTo(tag.end());
        if (raw) {
            rawText(tag.start());
        } else if (kind.equals("{#")) {
            Matcher end = COMMENT_END.matcher(text);
            if (at == text.length()) {
                return;
            }
            if (!end.find(at)) {
                throw source.error(tag.start(), "the comment has no end; close it with #}");
            }
            moveTo(end.end());
        } else if (kind.equals("{%")) {
            tokens.add(new Token(Kind.BLOCK_BEGIN, "{%", tag.start()));
            inside(BLOCK_END, Kind.BLOCK_END);
        } else {
            tokens.add(new Token(Kind.PRINT_BEGIN, "{{", tag.start()));
            inside(PRINT_END, Kind.PRINT_END);
        }
    }

    private void rawText(int tagStart) {
        Matcher end = RAW_END.matcher(text);
        if (at == text.length()) {
            // As in Jinja, where a tag at the very end opens nothing.
            return;
        }
        if (!end.find(at)) {
            throw source.error(tagStart, "the raw block has no end; close it with {% endraw %}");
        }
        data(kept(text.substring(at, end.start()), end.group("sign"), true), at);
        moveTo(end.end());
    }

    private void data(String data, int start) {
        if (!data.isEmpty()) {
            tokens.add(new Token(Kind.DATA, data, start));
        }
    }

    /** What a tag leaves of the text before it. */
    private String kept(String before, String sign, boolean strippable) {
        if (sign.equals("-")) {
            return PythonText.stripTrailing(before);
        }
        int lineStart = before.lastIndexOf('\n') + 1;
        boolean atLineStart = lineStart > 0 || lineStarting;
        if (sign.isEmpty() && strippable && atLineStart && PythonText.isBlank(before.substring(lineStart))) {
            return before.substring(0, lineStart);
        }
        return before;
    }

    private void moveTo(int end) {
        lineStarting = end > at && text.charAt(end - 1) == '\n';
        at = end;
    }

    private void inside(Pattern endPattern, Kind endKind) {
        Deque<String> open = new ArrayDeque<>();
        Matcher matcher = endPattern.matcher(text);
        while (at < text.length()) {
            if (open.isEmpty() && matches(matcher, endPattern)) {
                tokens.add(new Token(endKind, matcher.group(), at));
                moveTo(matcher.end());
                return;
            }
            char c = text.charAt(at);
            if (c == '\'' || c == '"') {
                string(c);
            } else {
                if (!matches(matcher, BLANKS)) {
                    token(matcher, open);
                }
                moveTo(matcher.end());
            }
        }
        // The parser says what was expected instead.
    }

    private boolean matches(Matcher matcher, Pattern pattern) {
        return matcher.usePattern(pattern)
                .region(at, text.length())
                .useTransparentBounds(true)
                .lookingAt();
    }

    private void token(Matcher matcher, Deque<String> open) {
        if (matches(matcher, FLOAT)) {
            double value = Double.parseDouble(matcher.group().replace("_", ""));
            tokens.add(new Token(Kind.NUMBER, matcher.group(), value, at));
        } else if (matches(matcher, INTEGER)) {
            tokens.add(new Token(Kind.NUMBER, matcher.group(), Numbers.parseLiteral(matcher.group()), at));
        } else if (matches(matcher, NAME)) {
            String name = matcher.group();
            if (!PythonText.isIdentifier(name)) {
                throw source.error(at, "'" + name + "' is no name: it has a character that names do not have");
            }
            tokens.add(new Token(Kind.NAME, name, at));
        } else if (matches(matcher, OPERATOR)) {
            balance(matcher.group(), open);
            tokens.add(new Token(Kind.OPERATOR, matcher.group(), at));
        } else {
            throw source.error(at, "unexpected character '" + Character.toString(text.codePointAt(at)) + "'");
        }
    }

    private void string(char quote) {
        int end = at + 1;
        while (end < text.length() && text.charAt(end) != quote) {
            end += text.charAt(end) == '\\' ? 2 : 1;
        }
        if (end >= text.length()) {
            throw source.error(at, "the string has no end; close it with " + quote);
        }
        try {
            tokens.add(new Token(Kind.STRING, StringLiteral.unescape(text.substring(at + 1, end)), at));
        } catch (TemplateError e) {
            throw source.error(at, e);
        }
        moveTo(end + 1);
    }

    private void balance(String sign, Deque<String> open) {
        switch (sign) {
            case "{" -> open.push("}");
            case "(" -> open.push(")");
            case "[" -> open.push("]");
            case "}", ")", "]" -> {
                String expected = open.poll();
                if (!sign.equals(expected)) {
                    throw source.error(
                            at,
                            "unexpected '" + sign + "'" + (expected == null ? "" : ", expected '" + expected + "'"));
                }
            }
            default -> {}
        }
    }
}
