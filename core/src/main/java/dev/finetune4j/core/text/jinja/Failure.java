package dev.finetune4j.core.text.jinja;

/**
 * Something that a template did wrong, thrown where the place in the template is not known; {@link Evaluator} and
 * {@link Interpreter} make a {@link JinjaException} of it.
 */
final class Failure extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final boolean refusal;

    Failure(String reason) {
        this(reason, false);
    }

    private Failure(String reason, boolean refusal) {
        super(reason, null, false, false);
        this.refusal = refusal;
    }

    /** What {@code raise_exception} throws. */
    static Failure refusal(String reason) {
        return new Failure(reason, true);
    }

    boolean isRefusal() {
        return refusal;
    }

    String reason() {
        String reason = getMessage();
        return reason == null ? "" : reason;
    }
}
