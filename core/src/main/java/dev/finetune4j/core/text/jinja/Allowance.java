package dev.finetune4j.core.text.jinja;

/**
 * What several renderings of templates may use together: time in steps and room in bytes. Each adds to it for the values
 * that it is given, and what one leaves is there for the next, so that many renderings of one conversation take no
 * longer than that conversation deserves. Not thread-safe.
 */
public final class Allowance {
    private long steps = Budget.MAX_STEPS;
    private long room = Budget.MAX_ROOM;
    private boolean exhausted;

    long steps() {
        return steps;
    }

    long room() {
        return room;
    }

    void leave(long leftSteps, long leftRoom) {
        exhausted |= leftSteps < 0 || leftRoom < 0;
        steps = Math.max(0, Math.min(Budget.MAX_STEPS, leftSteps));
        room = Math.max(0, Math.min(Budget.MAX_ROOM, leftRoom));
    }

    /** Whether a rendering wanted more than was left. */
    public boolean isExhausted() {
        return exhausted;
    }

    /**
     * Makes sure that all renderings had enough.
     *
     * @throws JinjaException if a rendering wanted more than was left
     */
    public void requireNotExhausted() {
        if (exhausted) {
            throw new JinjaException(
                    "the template does not come to an end, or fills the memory, with a question and an answer of one"
                            + " character",
                    1,
                    1,
                    false);
        }
    }
}
