package dev.finetune4j.core.text.jinja.python;

/**
 * What several renderings of templates may use together: time in steps and room in bytes. Each adds to it for the values
 * that it is given, and what one leaves is there for the next, so that many renderings of one conversation take no
 * longer than that conversation deserves. Not thread-safe.
 */
public final class Allowance {
    private long steps = Budget.MAX_STEPS;
    private long room = Budget.MAX_ROOM;
    private boolean exhausted;

    public long steps() {
        return steps;
    }

    public long room() {
        return room;
    }

    public void leave(long leftSteps, long leftRoom) {
        exhausted |= leftSteps < 0 || leftRoom < 0;
        steps = Math.max(0, Math.min(Budget.MAX_STEPS, leftSteps));
        room = Math.max(0, Math.min(Budget.MAX_ROOM, leftRoom));
    }

    /** Whether a rendering wanted more than was left. */
    public boolean isExhausted() {
        return exhausted;
    }
}
