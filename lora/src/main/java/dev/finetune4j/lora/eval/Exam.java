package dev.finetune4j.lora.eval;

import dev.finetune4j.core.Arguments;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import java.util.ArrayList;
import java.util.List;

/**
 * A list of questions to ask a model, each in a new conversation, always taking the likeliest token. Immutable.
 *
 * @param name what is examined, for tables
 * @param questions asked in this order
 * @param maxNewTokens the most tokens of one answer
 */
public record Exam(String name, List<ExamQuestion> questions, int maxNewTokens) {
    public Exam {
        Arguments.given(name, "Exam(name)");
        questions = List.copyOf(Arguments.given(questions, "Exam(questions)"));
    }

    /**
     * Asks a model all questions.
     *
     * @throws FineTune4jException when the thread is interrupted before the last answer is complete, because a result without
     *     the rest would judge questions that were not answered; the interrupt flag stays set
     */
    public ExamResult run(ChatModel model) {
        List<ExamResult.Answer> answers = new ArrayList<>();
        GenerationSettings settings =
                GenerationSettings.builder().maxNewTokens(maxNewTokens).build();
        try (ChatSession session = model.chat(settings)) {
            for (ExamQuestion question : questions) {
                session.reset();
                Reply reply = session.stream(question.question(), piece -> {});
                if (reply.reason() == FinishReason.INTERRUPTED) {
                    throw new FineTune4jException("the exam \"" + name + "\" was interrupted after " + answers.size()
                            + " of " + questions.size()
                            + " questions, so it has no result; run it again in a thread that"
                            + " is not interrupted");
                }
                String answer = reply.text();
                answers.add(new ExamResult.Answer(
                        question.question(), answer, question.right().test(answer)));
            }
        }
        return new ExamResult(name, answers);
    }
}
