package dev.finetune4j.lora.eval;

import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.ChoiceQuestion;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Datasets;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.SftExample;
import java.util.ArrayList;
import java.util.List;

/**
 * Something to measure a model by: questions that it answers, texts whose likelihood it tells, or answers that it chooses from.
 * Immutable, so that one task judges any number of models, and a model in training again and again.
 */
public sealed interface EvalTask permits ChoiceTask, PerplexityTask, PreferenceTask, QuestionTask {
    /** Tokens of an answer, by default. */
    int USUAL_TOKENS = 256;

    /** What reports call it. */
    String name();

    /** What its figures say. */
    Metric metric();

    /**
     * Measures a model.
     *
     * @throws IllegalArgumentException if the task needs log-probabilities and the model is no {@link EvaluableModel}
     * @throws dev.finetune4j.core.FineTune4jException when the thread is interrupted, because a result without the rest would judge what was not
     *     asked; the interrupt flag stays set
     */
    EvalResult run(ChatModel model);

    /**
     * Questions, each in a conversation of its own, answered by the likeliest tokens, at most 256. All are asked at once, and the model
     * answers many together.
     *
     * @param cases at least one, all with a metric of the same name
     * @throws IllegalArgumentException without a case, or with several metrics
     */
    static EvalTask questions(String name, List<EvalCase> cases) {
        return questions(
                name,
                cases,
                GenerationSettings.builder().maxNewTokens(USUAL_TOKENS).build());
    }

    /**
     * Questions that are answered by given settings.
     *
     * @param cases at least one, all with a metric of the same name
     * @throws IllegalArgumentException without a case, or with several metrics
     */
    static EvalTask questions(String name, List<EvalCase> cases, GenerationSettings settings) {
        return new QuestionTask(
                Arguments.given(name, "questions(name)"),
                Arguments.given(cases, "questions(cases)"),
                Arguments.given(settings, "questions(settings)"));
    }

    /**
     * The conversations of a data set up to their last answer, which is the reference.
     *
     * @throws IllegalArgumentException for examples that are no conversations
     */
    static EvalTask questions(String name, Dataset examples, AnswerMetric metric, GenerationSettings settings) {
        Arguments.given(examples, "questions(examples)");
        Arguments.given(metric, "questions(metric)");
        List<EvalCase> cases = new ArrayList<>();
        for (Example example : examples.examples()) {
            if (!(example instanceof SftExample sft)) {
                throw new IllegalArgumentException(example.where() + " is " + example.kind()
                        + "; a question and its reference are a conversation" + " that ends with an answer");
            }
            List<ChatMessage> messages = sft.conversation().messages();
            int last = messages.size() - 1;
            cases.add(new EvalCase(
                    new Conversation(
                            messages.subList(0, last), sft.conversation().tools()),
                    List.of(messages.get(last).content()),
                    metric));
        }
        return questions(name, cases, settings);
    }

    /** The forty questions of {@link Datasets#generalKnowledge()}. An answer is right if it has the name or number that is asked for. */
    static EvalTask generalKnowledge() {
        int tokens = 64;
        List<EvalCase> cases = Datasets.generalQuestions().stream()
                .map(asked -> EvalCase.of(
                        asked.text(), AnswerMetric.contains(), asked.keys().toArray(String[]::new)))
                .toList();
        return questions(
                "general knowledge",
                cases,
                GenerationSettings.builder().maxNewTokens(tokens).build());
    }

    /**
     * Perplexity of what a training would learn of examples, such as those that were held out: e to the mean negative log-probability of
     * their tokens, ends included.
     *
     * @param examples conversations or texts, with their placeholders bound
     */
    static EvalTask perplexity(String name, Dataset examples) {
        return new PerplexityTask(
                Arguments.given(name, "perplexity(name)"), Arguments.given(examples, "perplexity(examples)"));
    }

    /**
     * The share of preference pairs whose chosen answer the model holds likelier than the rejected one, by the sum of the log-probabilities
     * of its tokens.
     *
     * @param pairs {@link dev.finetune4j.data.PreferenceExample}
     * @throws IllegalArgumentException for examples of another kind
     */
    static EvalTask preferences(String name, Dataset pairs) {
        return new PreferenceTask(
                Arguments.given(name, "preferences(name)"), Arguments.given(pairs, "preferences(pairs)"));
    }

    /**
     * Questions with answers to choose from, such as {@link ChoiceQuestion#read} reads them: the model chooses the letter that it holds likeliest as its answer.
     *
     * @param questions at least one
     */
    static EvalTask multipleChoice(String name, List<ChoiceQuestion> questions) {
        return multipleChoice(name, questions, List.of());
    }

    /**
     * The same after questions that are answered already (few-shot), such as those of the files that benchmarks call {@code dev}.
     *
     * @param solved stand before each question, as earlier turns
     */
    static EvalTask multipleChoice(String name, List<ChoiceQuestion> questions, List<ChoiceQuestion> solved) {
        return new ChoiceTask(
                Arguments.given(name, "multipleChoice(name)"),
                Arguments.given(questions, "multipleChoice(questions)"),
                Arguments.given(solved, "multipleChoice(solved)"));
    }
}
