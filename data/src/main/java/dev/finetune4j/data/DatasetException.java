package dev.finetune4j.data;

import dev.finetune4j.core.FineTune4jException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Data that cannot be trained on. One exception reports all that is wrong; {@link #problems()} holds the first
 * {@value #LISTED}, and the message lists them and says how many there are.
 */
public class DatasetException extends FineTune4jException {
    /** How many problems are kept and listed. */
    public static final int LISTED = 20;

    private static final long serialVersionUID = 1L;

    private final List<DatasetProblem> problems;
    private final long count;

    DatasetException(List<DatasetProblem> firstProblems, long count, @Nullable Throwable cause) {
        super(describe(firstProblems, count));
        this.problems = List.copyOf(firstProblems);
        this.count = count;
        if (cause != null) {
            initCause(cause);
        }
    }

    DatasetException(DatasetProblem problem) {
        this(List.of(problem), 1, null);
    }

    DatasetException(DatasetProblem problem, Throwable cause) {
        this(List.of(problem), 1, cause);
    }

    /** The first problems in the order of the data, at least one and at most {@value #LISTED}. */
    public List<DatasetProblem> problems() {
        return problems;
    }

    /** How many problems there are, listed or not. */
    public long count() {
        return count;
    }

    private static String describe(List<DatasetProblem> problems, long count) {
        if (count == 1) {
            return problems.get(0).toString();
        }
        StringBuilder text = new StringBuilder(count + " problems in the data:");
        problems.forEach(problem -> text.append("\n  - ").append(problem));
        if (count > problems.size()) {
            text.append("\n  … and ").append(count - problems.size()).append(" more");
        }
        return text.toString();
    }
}
