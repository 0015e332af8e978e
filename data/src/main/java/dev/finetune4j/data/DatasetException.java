package dev.finetune4j.data;

import dev.finetune4j.core.FineTune4jException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Data that cannot be trained on. One exception reports all that is wrong; {@link #problems()} holds the first
 * {@value #LISTED}, and the message says each kind once, with the first rows that have it, and how many there are.
 */
public class DatasetException extends FineTune4jException {
    /** How many problems are kept and listed. */
    public static final int LISTED = 20;

    private static final long serialVersionUID = 1L;

    /** How many alike are each told in full. */
    private static final int IN_FULL = 2;

    /** How many rows are named beside the first one of a kind. */
    private static final int ROWS = 5;

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

    /** One problem. */
    public DatasetException(DatasetProblem problem) {
        this(List.of(problem), 1, null);
    }

    /** One problem with its cause. */
    public DatasetException(DatasetProblem problem, Throwable cause) {
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
        Map<String, List<DatasetProblem>> kinds = new LinkedHashMap<>();
        for (DatasetProblem problem : problems) {
            kinds.computeIfAbsent(kind(problem), key -> new ArrayList<>()).add(problem);
        }
        for (List<DatasetProblem> alike : kinds.values()) {
            List<DatasetProblem> full = alike.subList(0, alike.size() > IN_FULL ? 1 : alike.size());
            full.forEach(problem -> text.append("\n  - ").append(problem));
            if (alike.size() > IN_FULL) {
                text.append(others(alike));
            }
        }
        if (count > problems.size()) {
            text.append("\n  … and ").append(count - problems.size()).append(" more");
        }
        return text.toString();
    }

    /** The same for problems that differ in the place and in numbers only. */
    private static String kind(DatasetProblem problem) {
        return problem.source() + '\n' + problem.text().replaceAll("[0-9][0-9,.]*", "#");
    }

    /** Where else the problem is: the first rows and how many there are. */
    private static String others(List<DatasetProblem> alike) {
        if (alike.get(0).row() == null) {
            return "; and " + (alike.size() - 1) + " more like it";
        }
        String rows = alike.stream()
                .skip(1)
                .limit(ROWS)
                .map(problem -> String.valueOf(problem.row()))
                .collect(Collectors.joining(", "));
        int more = alike.size() - 1 - ROWS;
        return "; likewise in rows " + rows + (more > 0 ? " and " + more + " more" : "");
    }
}
