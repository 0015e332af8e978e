package dev.finetune4j.core.text.jinja.python;

/**
 * An error of a template, thrown where the place in the template is not known; the evaluator and the interpreter of the
 * language make an exception with line and column of it.
 */
public final class TemplateError extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final boolean refusal;

    public TemplateError(String reason) {
        this(reason, false);
    }

    private TemplateError(String reason, boolean refusal) {
        super(reason, null, false, false);
        this.refusal = refusal;
    }

    /** What {@code raise_exception} throws. */
    public static TemplateError refusal(String reason) {
        return new TemplateError(reason, true);
    }

    public boolean isRefusal() {
        return refusal;
    }

    public String reason() {
        String reason = getMessage();
        return reason == null ? "" : reason;
    }
}
