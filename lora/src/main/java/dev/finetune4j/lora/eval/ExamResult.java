package dev.finetune4j.lora.eval;

import java.util.List;

/**
 * The answers of one model to one exam, in the order of the questions.
 *
 * @param name what was examined
 * @param answers one per question
 */
public record ExamResult(String name, List<Answer> answers) {
    /**
     * One answered question.
     *
     * @param question what was asked
     * @param answer what the model said
     * @param right whether the answer counts
     */
    public record Answer(String question, String answer, boolean right) {}

    public ExamResult {
        answers = List.copyOf(answers);
    }

    /** How many answers count. */
    public int right() {
        return (int) answers.stream().filter(Answer::right).count();
    }

    /** How many questions were asked. */
    public int total() {
        return answers.size();
    }

    /** Share of right answers, from 0 to 1; 0 without questions. */
    public double rate() {
        return answers.isEmpty() ? 0 : (double) right() / total();
    }

    /**
     * Share of the questions that {@code before} answered right and this result does too: what was kept. 1 when there was
     * nothing to lose.
     *
     * @throws IllegalArgumentException when the two results are not of the same questions
     */
    public double retainedFrom(ExamResult before) {
        if (!before.answers.stream()
                .map(Answer::question)
                .toList()
                .equals(answers.stream().map(Answer::question).toList())) {
            throw new IllegalArgumentException(
                    "\"" + name + "\" and \"" + before.name + "\" did not ask the same questions");
        }
        int had = 0;
        int kept = 0;
        for (int i = 0; i < answers.size(); i++) {
            if (before.answers.get(i).right()) {
                had++;
                kept += answers.get(i).right() ? 1 : 0;
            }
        }
        return had == 0 ? 1 : (double) kept / had;
    }
}
