package dev.finetune4j.data;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Collects what is wrong with the data, so that all of it is reported at once. It keeps no more than is listed. */
public final class DatasetProblems {
    private final List<DatasetProblem> first = new ArrayList<>();
    private long count;
    private @Nullable Throwable cause;

    /** None so far. */
    public DatasetProblems() {}

    /** Adds a problem. */
    public void add(DatasetProblem problem) {
        if (first.size() < DatasetException.LISTED) {
            first.add(problem);
        }
        count++;
    }

    /** Adds a problem; the first cause becomes that of the exception. */
    public void add(DatasetProblem problem, Throwable why) {
        add(problem);
        if (cause == null) {
            cause = why;
        }
    }

    /** How many were added. */
    public long count() {
        return count;
    }

    /**
     * Reports all of them, if there is any.
     *
     * @throws DatasetException if there is any
     */
    public void throwIfAny() {
        if (count > 0) {
            throw new DatasetException(first, count, cause);
        }
    }
}
