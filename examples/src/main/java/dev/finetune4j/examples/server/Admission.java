package dev.finetune4j.examples.server;

/** How many answers are in progress or wait, and how many may be. Thread-safe. */
final class Admission {
    private final int limit;
    private int inside;

    Admission(int limit) {
        this.limit = limit;
    }

    /**
     * Takes room for some answers, all or none.
     *
     * @throws ApiException when there is not enough
     */
    synchronized void enter(int answers) {
        if (inside + answers > limit) {
            throw ApiException.busy(inside + " answers are in progress or wait, of " + limit
                    + " that may; send the request again in a moment");
        }
        inside += answers;
    }

    /** Gives it back. */
    synchronized void leave(int answers) {
        inside -= answers;
    }

    /** How many answers are in progress or wait. */
    synchronized int inside() {
        return inside;
    }
}
