package dev.finetune4j.data;

/** What becomes of an example that has more tokens than fit. The {@link DataReport} counts what was left out or shortened. */
public enum Truncation {
    /** It is an error, which names the row, its length, the limit and the remedies. */
    FAIL,
    /** The example is left out, however many there are; the report warns of them, and it is an error if none remains. */
    SKIP,
    /**
     * The oldest turns of the conversation are dropped, each whole: a question with all that follows it up to the next
     * one. The system message and the last question with its answer always stay, so nothing is ever cut in two; if
     * these alone do not fit, it is an error.
     */
    DROP_OLDEST_TURNS,
    /**
     * The end of the longest text that is not an answer is cut off, and of the next longest if that is not enough. Answers with
     * their end and all that the template writes stay whole; if these alone do not fit, it is an error.
     */
    CUT_SOURCE,
    /**
     * The ends of prompts and answers are cut off in proportion, turn by turn, as LLaMA-Factory's {@code cutoff_len} does. An
     * answer that is cut loses the token that ends it, and a prompt that is cut the announcement of the answer, so this
     * teaches models not to stop: it is for repeating a training that was done so.
     */
    PROPORTIONAL
}
