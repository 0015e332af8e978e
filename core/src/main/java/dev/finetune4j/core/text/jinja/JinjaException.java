package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.FineTune4jException;

/**
 * A chat template that cannot be read, cannot be rendered with the given values, or refuses them itself. The message
 * names the place in the template.
 */
public final class JinjaException extends FineTune4jException {
    private static final long serialVersionUID = 1L;

    private final String reason;
    private final int line;
    private final int column;
    private final boolean refusal;

    JinjaException(String reason, int line, int column, boolean refusal) {
        super("chat template, line " + line + ", column " + column + ": " + reason);
        this.reason = reason;
        this.line = line;
        this.column = column;
        this.refusal = refusal;
    }

    /** For a template that used up the time or room of its renderings, see {@code Allowance.isExhausted}. */
    public static JinjaException endless() {
        return new JinjaException(
                "the template does not come to an end, or fills the memory, with a question and an answer of one"
                        + " character",
                1,
                1,
                false);
    }

    /** What is wrong, without the place; for a refusal the template's own words. */
    public String reason() {
        return reason;
    }

    /** The line in the template, counted from 1. */
    public int line() {
        return line;
    }

    /** The place in the line, counted in UTF-16 units from 1. */
    public int column() {
        return column;
    }

    /** Whether the template itself refused by {@code raise_exception}, as it does with conversations it cannot write. */
    public boolean isRefusal() {
        return refusal;
    }
}
