package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.ScoringModel;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.lora.train.TrainingReport;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Log-probabilities of given texts; with {@code -Dfinetune4j.device=cuda} on a GPU. */
class ExampleScoringTest {
    @TempDir
    private Path folder;

    private Path model;

    @BeforeEach
    void makeModel() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
    }

    private LanguageModel load() {
        return LanguageModel.loader(model)
                .device(Fixtures.device())
                .precision(Precision.FP32)
                .load();
    }

    /** Conversations of all lengths from one word on. */
    private static List<SftExample> rows(int count) {
        SplittableRandom random = new SplittableRandom(count);
        return IntStream.range(0, count)
                .mapToObj(i ->
                        SftExample.of("Tell me " + i + " ok".repeat(random.nextInt(12)), "Yes" + " no".repeat(i % 7)))
                .toList();
    }

    /** What a softmax over all logits gives to the tokens of the answer. */
    private static double[] direct(LanguageModel model, SftExample row) {
        EncodedChat chat = model.encoder().encode(row.conversation(), false);
        long[] ids = Arrays.stream(chat.ids()).asLongStream().toArray();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor hidden = model.model().hidden(ModelInput.padded(model.model().tokens(ids, 1, ids.length)));
            float[] all = Tensors.toFloats(model.model().logits(hidden).log_softmax(-1));
            int vocabulary = all.length / ids.length;
            return IntStream.range(0, ids.length - 1)
                    .filter(i -> chat.trained()[i + 1])
                    .mapToDouble(i -> all[i * vocabulary + chat.ids()[i + 1]])
                    .toArray();
        }
    }

    private static void assertSame(double[] expected, List<TokenLogprob> scores) {
        assertEquals(expected.length, scores.size());
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], scores.get(i).logprob(), 1e-4);
        }
    }

    @Test
    void manyTogetherScoreAsEachAloneByASoftmax() {
        try (LanguageModel base = load();
                Adapter adapter = new Adapter(base, DecoderCases.adapter(base.model(), 3, 0.2))) {
            List<SftExample> rows = rows(60);
            List<List<TokenLogprob>> scores = base.score(rows);
            for (int i = 0; i < rows.size(); i++) {
                assertSame(direct(base, rows.get(i)), scores.get(i));
            }
            List<List<TokenLogprob>> adapted = adapter.score(rows);
            assertTrue(Math.abs(adapted.get(0).get(0).logprob()
                            - scores.get(0).get(0).logprob())
                    > 1e-3);
            double[] alone = adapter.score(rows.subList(7, 8)).get(0).stream()
                    .mapToDouble(TokenLogprob::logprob)
                    .toArray();
            assertSame(alone, adapted.get(7));
            assertEquals(List.of(), base.score(List.of()));
        }
    }

    @Test
    void aTextIsScoredAsFarAsItGoes() {
        try (LanguageModel base = load()) {
            String text = "so it is ".repeat(200);
            int tokens = base.encoder().encodeText(text).length;
            List<List<TokenLogprob>> scores = base.score(
                    List.of(TextExample.of(text), SftExample.of("Hello", "Yes"), TextExample.of("so it is")));
            assertTrue(tokens > base.model().config().maxPositions(), tokens + " tokens are parted");
            // All but the first, with the token that ends the text.
            assertTrue(
                    scores.get(0).size() >= tokens - 1 && scores.get(0).size() <= tokens,
                    scores.get(0).size() + "");
            assertSame(direct(base, SftExample.of("Hello", "Yes")), scores.get(1));
        }
    }

    @Test
    void whatHasNoScoreIsRefused() {
        try (LanguageModel base = load()) {
            String message = assertThrows(
                            IllegalArgumentException.class,
                            () -> base.score(List.of(SftExample.of("q", "a"), PreferenceExample.of("q", "a", "b"))))
                    .getMessage();
            assertTrue(message.contains("score(examples[1]) is a preference pair"), message);
            Thread.currentThread().interrupt();
            assertThrows(FineTune4jException.class, () -> base.score(rows(2)));
            assertTrue(Thread.interrupted(), "the interrupt flag stays set");
            base.close();
            assertThrows(IllegalStateException.class, () -> base.score(rows(2)));
        }
    }

    private static Stream<Arguments> methods() {
        UnaryOperator<FineTuner.Builder> lora = builder -> builder.lora(l -> l.rank(4));
        UnaryOperator<FineTuner.Builder> prompts = builder -> builder.promptTuning(4);
        UnaryOperator<FineTuner.Builder> prefixes = builder -> builder.prefixTuning(4);
        UnaryOperator<FineTuner.Builder> full = FineTuner.Builder::full;
        return Stream.of(
                Arguments.of("lora", lora),
                Arguments.of("prompt tuning", prompts),
                Arguments.of("prefix tuning", prefixes),
                Arguments.of("full", full));
    }

    /** The figure of an exam is that of the training's own evaluation. */
    @ParameterizedTest(name = "{0}")
    @MethodSource("methods")
    void anExamMeasuresTheModelAsItIsThen(String name, UnaryOperator<FineTuner.Builder> method) {
        Dataset rows = Dataset.of(rows(12));
        try (FineTunedModel tuned = method.apply(FineTuner.builder().model(model))
                .dataset(rows)
                .evaluation(rows)
                .exam(EvalTask.perplexity("rows", rows))
                .training(t -> t.maxSteps(6).evaluationSteps(2).batchSize(4).learningRate(1e-3))
                .precision(Precision.FP32)
                .device(Fixtures.device())
                .train()) {
            List<TrainingReport.Evaluation> evaluations = tuned.report().evaluations();
            assertEquals(3, evaluations.size());
            for (TrainingReport.Evaluation evaluation : evaluations) {
                double found = evaluation.metrics().get("exam/rows");
                assertEquals(evaluation.perplexity(), found, 1e-4 * found);
            }
            double last = evaluations.get(2).metrics().get("exam/rows");
            assertEquals(last, EvalTask.perplexity("rows", rows).run(tuned).value(), 1e-4 * last);
            assertTrue(last < evaluations.get(0).metrics().get("exam/rows"), name + " learned");
        }
    }

    /** A reply that is in progress until somebody waits for it. */
    private record Open(Runnable end) implements Completion {
        @Override
        public Reply join() {
            end.run();
            return Reply.of("");
        }

        @Override
        public void cancel() {
            throw new AssertionError("nothing is cancelled");
        }

        @Override
        public boolean isDone() {
            return false;
        }

        @Override
        public CompletionStage<Reply> stage() {
            throw new AssertionError("nobody asks");
        }
    }

    /** Answers nothing, but counts how many replies are in progress, and the most of them. */
    private static final class Counting implements ScoringModel {
        private final int promptTokens;
        private int running;
        private int most;

        Counting(int promptTokens) {
            this.promptTokens = promptTokens;
        }

        @Override
        public Reply reply(ChatRequest request) {
            throw new AssertionError("all are submitted");
        }

        @Override
        public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
            running++;
            most = Math.max(most, running);
            return new Open(() -> running--);
        }

        @Override
        public List<TokenLogprob> score(String text) {
            throw new AssertionError("nothing is scored");
        }

        @Override
        public List<TokenLogprob> score(Conversation conversation) {
            throw new AssertionError("nothing is scored");
        }

        @Override
        public int countTokens(String text) {
            throw new AssertionError("conversations are counted");
        }

        @Override
        public int countTokens(Conversation conversation) {
            return promptTokens;
        }
    }

    private static int mostAtOnce(long stepTokens, int promptTokens) {
        Counting model = new Counting(promptTokens);
        ChatRequest question = ChatRequest.builder()
                .messages(ChatMessage.user("Who are you?"))
                .settings(s -> s.maxNewTokens(64))
                .build();
        List<Reply> replies = new Examinee(model, null, stepTokens).generate(Collections.nCopies(40, question));
        assertEquals(40, replies.size());
        assertEquals(0, model.running);
        return model.most;
    }

    /** Keys and values of half as many tokens as a micro-batch has are in memory, with buffers that are powers of two. */
    @Test
    void answersInATrainingTakeNoMoreThanAStep() {
        assertEquals(8, mostAtOnce(1 << 20, 60), "more at once would unpack 4-bit weights");
        assertEquals(4, mostAtOnce(1024, 60), "four of 128");
        assertEquals(2, mostAtOnce(1024, 65), "two of 256");
        assertEquals(1, mostAtOnce(100, 60), "one is asked however long it is");
    }
}
