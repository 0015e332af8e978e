package dev.finetune4j.data.batch;

import dev.finetune4j.data.DatasetProblem;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What became of one row.
 *
 * @param examples none if it is left out; several if a text was longer than a sequence may be
 * @param truncated whether it lost something because it was too long
 * @param tooLong how many tokens it has if it is left out for that, else 0
 * @param problem why it cannot be trained on, if that is so
 * @param cause of the problem, if there is one
 */
record EncodedRow(
        List<EncodedExample> examples,
        boolean truncated,
        int tooLong,
        @Nullable DatasetProblem problem,
        @Nullable Throwable cause) {
    static EncodedRow of(List<EncodedExample> examples, boolean truncated) {
        return new EncodedRow(examples, truncated, 0, null, null);
    }

    static EncodedRow skipped(int length) {
        return new EncodedRow(List.of(), false, length, null, null);
    }

    static EncodedRow bad(DatasetProblem problem, @Nullable Throwable cause) {
        return new EncodedRow(List.of(), false, 0, problem, cause);
    }
}
