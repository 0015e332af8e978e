package dev.finetune4j.examples.task;

import dev.finetune4j.core.FineTune4jException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A task file that cannot be worked with: {@link #problems()} lists all that is wrong, each with its place and its remedy. */
public final class TaskFileException extends FineTune4jException {
    private static final long serialVersionUID = 1L;

    private final List<String> problems;

    TaskFileException(Path file, List<String> problems, @Nullable Throwable cause) {
        super(describe(file, problems), cause);
        this.problems = List.copyOf(problems);
    }

    /** The problems found, one line each. */
    public List<String> problems() {
        return problems;
    }

    private static String describe(Path file, List<String> problems) {
        if (problems.size() == 1) {
            String problem = problems.get(0);
            return file + (problem.startsWith(TaskValue.LINE) ? ", " : ": ") + problem;
        }
        StringBuilder text = new StringBuilder(file + ": " + problems.size() + " things need a change:");
        problems.forEach(problem -> text.append("\n  - ").append(problem));
        return text.toString();
    }
}
