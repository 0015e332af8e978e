package dev.finetune4j.lora.eval;

import java.util.List;

/**
 * The answers of one model to an {@link EvalSuite}, in the order of its questions.
 *
 * @param name what was evaluated
 * @param answers one per question
 */
public record EvalResult(String name, List<Answer> answers) {
    /**
     * One answered question.
     *
     * @param question what was asked
     * @param answer what the model said
     * @param correct whether the answer counts
     */
    public record Answer(String question, String answer, boolean correct) {}

    public EvalResult {
        answers = List.copyOf(answers);
    }

    /** How many answers count. */
    public int correct() {
        return (int) answers.stream().filter(Answer::correct).count();
    }

    /** How many questions were asked. */
    public int total() {
        return answers.size();
    }

    /** Share of correct answers, from 0 to 1; 0 without questions. */
    public double accuracy() {
        return answers.isEmpty() ? 0 : (double) correct() / total();
    }

    /**
     * Share of the questions that {@code before} answered correctly and this result does too: what was kept. 1 when there was
     * nothing to lose.
     *
     * @throws IllegalArgumentException when the two results are not of the same questions
     */
    public double retainedFrom(EvalResult before) {
        if (!before.answers.stream()
                .map(Answer::question)
                .toList()
                .equals(answers.stream().map(Answer::question).toList())) {
            throw new IllegalArgumentException(
                    "\"" + name + "\" and \"" + before.name + "\" did not ask the same questions");
        }
        int correctBefore = 0;
        int retained = 0;
        for (int i = 0; i < answers.size(); i++) {
            if (before.answers.get(i).correct()) {
                correctBefore++;
                retained += answers.get(i).correct() ? 1 : 0;
            }
        }
        return correctBefore == 0 ? 1 : (double) retained / correctBefore;
    }
}
