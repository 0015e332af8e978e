package dev.finetune4j.lora.eval;

import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
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
        questions = List.copyOf(questions);
    }

    /** Asks a model all questions. */
    public ExamResult run(ChatModel model) {
        List<ExamResult.Answer> answers = new ArrayList<>();
        GenerationSettings settings = GenerationSettings.greedy().withMaxNewTokens(maxNewTokens);
        try (ChatSession session = model.chat(settings)) {
            for (ExamQuestion question : questions) {
                session.reset();
                String answer = session.say(question.question());
                answers.add(new ExamResult.Answer(
                        question.question(), answer, question.right().test(answer)));
            }
        }
        return new ExamResult(name, answers);
    }
}
