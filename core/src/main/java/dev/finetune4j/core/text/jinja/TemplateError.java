package dev.finetune4j.core.text.jinja;

/**
 * An error of a template, thrown where the place in the template is not known; {@link Evaluator} and
 * {@link Interpreter} make a {@link JinjaException} of it.
 */
final class TemplateError extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final boolean refusal;

    TemplateError(String reason) {
        this(reason, false);
    }

    private TemplateError(String reason, boolean refusal) {
        super(reason, null, false, false);
        this.refusal = refusal;
    }

    /** What {@code raise_exception} throws. */
    static TemplateError refusal(String reason) {
        return new TemplateError(reason, true);
    }

    boolean isRefusal() {
        return refusal;
    }

    String reason() {
        String reason = getMessage();
        return reason == null ? "" : reason;
    }
}
