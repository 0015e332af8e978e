package dev.finetune4j.core;

import java.util.List;

/**
 * Settings that cannot work, found before a byte of weights is read. {@link #problems()} lists all of them, each with its
 * remedy; the message holds the same list.
 */
public class SettingsException extends FineTune4jException {
    private static final long serialVersionUID = 1L;

    private final List<String> problems;

    public SettingsException(List<String> problems) {
        super(describe(problems));
        this.problems = List.copyOf(problems);
    }

    /** The problems found, one sentence or two each, in the order in which the settings were given. */
    public List<String> problems() {
        return problems;
    }

    private static String describe(List<String> problems) {
        if (problems.size() == 1) {
            return problems.get(0);
        }
        StringBuilder text = new StringBuilder(problems.size() + " settings need a change:");
        problems.forEach(problem -> text.append("\n  - ").append(problem));
        return text.toString();
    }
}
