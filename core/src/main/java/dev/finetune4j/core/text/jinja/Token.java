package dev.finetune4j.core.text.jinja;

import org.jspecify.annotations.Nullable;

/**
 * A sign of the language.
 *
 * @param kind what it is
 * @param text its text; for a string what it stands for, for an operator its sign
 * @param value of a number
 * @param at where it begins in the source
 */
record Token(Kind kind, String text, @Nullable Object value, int at) {
    enum Kind {
        DATA,
        BLOCK_BEGIN,
        BLOCK_END,
        PRINT_BEGIN,
        PRINT_END,
        NAME,
        STRING,
        NUMBER,
        OPERATOR,
        END
    }

    Token(Kind kind, String text, int at) {
        this(kind, text, null, at);
    }

    boolean isName(String name) {
        return kind == Kind.NAME && text.equals(name);
    }

    boolean isOperator(String sign) {
        return kind == Kind.OPERATOR && text.equals(sign);
    }

    /** How an error message names it. */
    String describe() {
        return switch (kind) {
            case DATA -> "text";
            case BLOCK_BEGIN -> "begin of statement block";
            case BLOCK_END -> "end of statement block";
            case PRINT_BEGIN -> "begin of print statement";
            case PRINT_END -> "end of print statement";
            case END -> "end of template";
            case STRING -> "string '" + text + "'";
            case NAME, NUMBER, OPERATOR -> "'" + text + "'";
        };
    }
}
