package dev.finetune4j.data;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Collects what is wrong with the data, so that all of it is reported at once. It keeps no more than is listed. */
final class Problems {
    private final List<DatasetProblem> first = new ArrayList<>();
    private long count;
    private @Nullable Throwable cause;

    void add(DatasetProblem problem) {
        if (first.size() < DatasetException.LISTED) {
            first.add(problem);
        }
        count++;
    }

    void add(DatasetProblem problem, Throwable why) {
        add(problem);
        if (cause == null) {
            cause = why;
        }
    }

    long count() {
        return count;
    }

    /** @throws DatasetException if there is any */
    void throwIfAny() {
        if (count > 0) {
            throw new DatasetException(first, count, cause);
        }
    }
}
