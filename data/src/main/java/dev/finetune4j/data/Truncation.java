package dev.finetune4j.data;

/** What becomes of an example that has more tokens than fit. */
public enum Truncation {
    /** It is an error, which names the row, its length, the limit and the remedies. */
    FAIL,
    /** The example is left out, and the {@link DataReport} counts it. */
    SKIP,
    /**
     * The oldest turns of the conversation are dropped, each whole: a question with all that follows it up to the next
     * one. The system message and the last question with its answer always stay, so nothing is ever cut in two; if
     * these alone do not fit, it is an error.
     */
    DROP_OLDEST_TURNS
}
