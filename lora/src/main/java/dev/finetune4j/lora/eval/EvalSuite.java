package dev.finetune4j.lora.eval;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.data.Datasets;
import java.util.ArrayList;
import java.util.List;

/**
 * A list of test questions for a model, each asked in a new conversation and answered by greedy decoding. Immutable.
 *
 * @param name what is evaluated, for tables
 * @param cases asked in this order
 * @param maxNewTokens the most tokens of one answer
 */
public record EvalSuite(String name, List<EvalCase> cases, int maxNewTokens) {
    private static final int SHORT_ANSWER = 64;

    public EvalSuite {
        Arguments.given(name, "EvalSuite(name)");
        cases = List.copyOf(Arguments.given(cases, "EvalSuite(cases)"));
    }

    /**
     * The questions of {@link Datasets#generalKnowledge()}, to ask before and after a fine-tuning. An answer is right if it has the
     * name or number that is asked for.
     */
    public static EvalSuite generalKnowledge() {
        List<EvalCase> cases = new ArrayList<>();
        for (Datasets.Question question : Datasets.generalQuestions()) {
            cases.add(new EvalCase(question.text(), question::isAnsweredBy));
        }
        return new EvalSuite("general knowledge", cases, SHORT_ANSWER);
    }

    /**
     * Asks a model all questions.
     *
     * @throws FineTune4jException when the thread is interrupted before the last answer is complete, because a result without
     *     the rest would judge questions that were not answered; the interrupt flag stays set
     */
    public EvalResult run(ChatModel model) {
        List<EvalResult.Answer> answers = new ArrayList<>();
        GenerationSettings settings =
                GenerationSettings.builder().maxNewTokens(maxNewTokens).build();
        try (ChatSession session = model.chat(settings)) {
            for (EvalCase testCase : cases) {
                session.reset();
                Reply reply = session.stream(testCase.question(), piece -> {});
                if (reply.finishReason() == FinishReason.INTERRUPTED) {
                    throw new FineTune4jException(
                            "the evaluation \"" + name + "\" was interrupted after " + answers.size()
                                    + " of " + cases.size()
                                    + " questions, so it has no result; run it again in a thread that"
                                    + " is not interrupted");
                }
                String answer = reply.text();
                answers.add(new EvalResult.Answer(
                        testCase.question(), answer, testCase.correct().test(answer)));
            }
        }
        return new EvalResult(name, answers);
    }
}
