package dev.finetune4j.lora.plan.estimate;

/**
 * The size of the batch that a plan is made for.
 *
 * @param rows examples, or packed rows
 * @param tokens of the longest example, without virtual ones
 * @param positions that go through the model together: rows · tokens where examples are padded, mostly fewer where they are
 *     packed behind one another
 */
public record PlannedBatch(int rows, int tokens, long positions) {
    /** @throws IllegalArgumentException if there is no row or no token */
    public PlannedBatch {
        if (rows < 1 || tokens < 1 || positions < 1) {
            throw new IllegalArgumentException("a batch has at least 1 row and 1 token, but " + rows + " x " + tokens
                    + " in " + positions + " positions was asked for");
        }
    }

    /** Examples in rows of their own. */
    public static PlannedBatch padded(int rows, int tokens) {
        return new PlannedBatch(rows, tokens, (long) rows * tokens);
    }

    /** A batch of fewer rows, as full as this one. */
    PlannedBatch withRows(int count) {
        return new PlannedBatch(count, tokens, Math.max(tokens, positions * count / rows));
    }

    /** One row of fewer tokens. */
    static PlannedBatch one(int tokens) {
        return padded(1, tokens);
    }
}
