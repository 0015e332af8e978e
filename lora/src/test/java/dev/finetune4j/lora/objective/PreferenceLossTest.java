package dev.finetune4j.lora.objective;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.Random;
import java.util.function.BiFunction;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class PreferenceLossTest {
    private static LogProbs scores(float[] policy, float[] reference, int... tokens) {
        return new LogProbs(vector(policy).set_requires_grad(true), vector(reference), tokens);
    }

    private static Tensor vector(float... values) {
        return Tensors.ofFloats(ComputeDevice.cpu(), values, values.length);
    }

    /** The gradient on the policy's scores, zeros where none has arrived. */
    private static float[] gradient(LogProbs answers) {
        Tensor gradient = answers.policy().grad();
        return gradient.defined() ? Tensors.toFloats(gradient) : new float[answers.size()];
    }

    /** The formulas once more, in double precision and for one pair. */
    private interface Formula {
        double of(double chosen, double rejected, double chosenRatio, double rejectedRatio, int n, int m);
    }

    static Stream<Arguments> formulas() {
        return Stream.of(
                formula(
                        new Dpo(0.3, 0.2),
                        (c, r, cr, rr, n, m) -> 0.8 * softplus(-0.3 * (cr - rr)) + 0.2 * softplus(0.3 * (cr - rr))),
                formula(new Hinge(0.4), (c, r, cr, rr, n, m) -> Math.max(0, 1 - 0.4 * (cr - rr))),
                formula(new Ipo(0.7), (c, r, cr, rr, n, m) -> Math.pow(cr / n - rr / m - 1 / 1.4, 2)),
                formula(new SimPo(2.5, 1.2), (c, r, cr, rr, n, m) -> softplus(1.2 - 2.5 * (c / n - r / m))),
                formula(
                        new RobustDpo(0.3, 0.2),
                        (c, r, cr, rr, n, m) ->
                                (0.8 * softplus(-0.3 * (cr - rr)) - 0.2 * softplus(0.3 * (cr - rr))) / 0.6),
                formula(
                        new Cpo(0.3, 0.2),
                        (c, r, cr, rr, n, m) -> 0.8 * softplus(-0.3 * (c - r)) + 0.2 * softplus(0.3 * (c - r))),
                formula(
                        new WithSft(new Hinge(0.4), 0.7, AnswerLoss.EACH_ANSWER),
                        (c, r, cr, rr, n, m) -> Math.max(0, 1 - 0.4 * (cr - rr)) - 0.7 * c / n),
                formula(
                        new Orpo(0.6),
                        (c, r, cr, rr, n, m) -> -c / n + 0.6 * softplus(logOdds(r / m) - logOdds(c / n))));
    }

    private static Arguments formula(PairLoss loss, Formula formula) {
        return Arguments.of(loss, formula);
    }

    private static double softplus(double x) {
        return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
    }

    private static double logOdds(double logProbability) {
        return logProbability - Math.log(-Math.expm1(logProbability));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("formulas")
    void randomPairsGiveTheFormulaAndItsSlope(PairLoss loss, Formula formula) {
        long seed = 20240;
        Random random = new Random(seed);
        int size = 37;
        float[][] score = new float[4][size];
        int[][] tokens = new int[2][size];
        for (int i = 0; i < size; i++) {
            for (float[] values : score) {
                values[i] = -20 * random.nextFloat() - 1;
            }
            tokens[0][i] = 1 + random.nextInt(30);
            tokens[1][i] = 1 + random.nextInt(30);
        }
        try (TensorScope scope = new TensorScope()) {
            LogProbs chosen = scores(score[0], score[1], tokens[0]);
            LogProbs rejected = scores(score[2], score[3], tokens[1]);
            Tensor losses = loss.losses(chosen, rejected);
            float[] actual = Tensors.toFloats(losses);
            losses.sum().backward();
            float[] slope = gradient(chosen);
            float[] otherSlope = gradient(rejected);
            double step = 1e-5;
            for (int i = 0; i < size; i++) {
                int pair = i;
                BiFunction<Double, Double, Double> shifted = (dc, dr) -> formula.of(
                        score[0][pair] + dc,
                        score[2][pair] + dr,
                        (double) score[0][pair] - score[1][pair] + dc,
                        (double) score[2][pair] - score[3][pair] + dr,
                        tokens[0][pair],
                        tokens[1][pair]);
                String where = "pair " + i + " of seed " + seed;
                double expected = shifted.apply(0.0, 0.0);
                assertEquals(expected, actual[i], 1e-5 * Math.max(1, expected), where);
                double toChosen = (shifted.apply(step, 0.0) - shifted.apply(-step, 0.0)) / (2 * step);
                double toRejected = (shifted.apply(0.0, step) - shifted.apply(0.0, -step)) / (2 * step);
                assertEquals(toChosen, slope[i], 1e-4 * Math.max(1, Math.abs(toChosen)), where);
                assertEquals(toRejected, otherSlope[i], 1e-4 * Math.max(1, Math.abs(toRejected)), where);
            }
        }
    }

    static Stream<PairLoss> pairLosses() {
        return Stream.of(
                new Dpo(0.1, 0.1),
                new RobustDpo(0.1, 0.1),
                new Hinge(0.1),
                new Ipo(0.1),
                new SimPo(2, 1),
                new Cpo(0.1, 0),
                new Orpo(0.1),
                new WithSft(Dpo.of(0.1), 1, AnswerLoss.TOKENS));
    }

    @ParameterizedTest
    @MethodSource("pairLosses")
    void farFetchedScoresStayNumbers(PairLoss loss) {
        float[] ends = {0, -1e-8f, -5000, -5000, 0};
        float[] others = {0, -5000, -1e-8f, -5000, -5000};
        int[] tokens = {1, 3, 2, 700, 1};
        try (TensorScope scope = new TensorScope()) {
            LogProbs chosen = scores(ends, others, tokens);
            LogProbs rejected = scores(others, ends, tokens);
            Tensor losses = loss.losses(chosen, rejected);
            losses.sum().backward();
            for (float[] values : new float[][] {Tensors.toFloats(losses), gradient(chosen), gradient(rejected)}) {
                for (float value : values) {
                    assertTrue(Float.isFinite(value), loss + " gives " + Arrays.toString(values));
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("pairLosses")
    void whatDoesNotFitTogetherIsNamed(PairLoss loss) {
        try (TensorScope scope = new TensorScope()) {
            LogProbs two = new LogProbs(vector(-1, -2), null, new int[] {1, 1});
            LogProbs one = new LogProbs(vector(-1), null, new int[] {1});
            assertTrue(assertThrows(IllegalArgumentException.class, () -> loss.losses(two, one))
                    .getMessage()
                    .contains("2 chosen"));
            if (loss.needsReference()) {
                assertTrue(assertThrows(IllegalArgumentException.class, () -> loss.losses(two, two))
                        .getMessage()
                        .contains("reference"));
            } else {
                assertEquals(2, loss.losses(two, two).numel());
            }
        }
    }

    @Test
    void theLossOfChosenAnswersIsAveragedAsItSays() {
        try (TensorScope scope = new TensorScope()) {
            LogProbs.Prompts prompts = new LogProbs.Prompts(vector(-4, -1), vector(5, 3));
            LogProbs chosen = new LogProbs(vector(-3, -5), null, vector(1, 2), prompts);
            assertEquals((3 + 2.5) / 2, AnswerLoss.EACH_ANSWER.of(chosen).mean().item_double(), 1e-6);
            assertEquals(8 / 3.0, AnswerLoss.TOKENS.of(chosen).mean().item_double(), 1e-6);
            assertEquals(
                    13 / 11.0, AnswerLoss.TOKENS_WITH_PROMPTS.of(chosen).mean().item_double(), 1e-6);
            LogProbs without = new LogProbs(vector(-3), null, new int[] {1});
            assertThrows(IllegalArgumentException.class, () -> AnswerLoss.TOKENS_WITH_PROMPTS.of(without));
        }
    }

    @Test
    void ktoWeighsDesirableAndUndesirableAnswersApart() {
        try (TensorScope scope = new TensorScope()) {
            LogProbs answers = scores(new float[] {-3, -3}, new float[] {-5, -5}, 4, 4);
            float[] losses = Tensors.toFloats(new Kto(0.5, 2, 3).losses(answers, new boolean[] {true, false}, 1));
            assertEquals(2 / (1 + Math.exp(0.5)), losses[0], 1e-6);
            assertEquals(3 / (1 + Math.exp(-0.5)), losses[1], 1e-6);
            assertEquals(2, Kto.baseline(answers), 1e-6);
            assertEquals(0, Kto.baseline(scores(new float[] {-9}, new float[] {-5}, 4)));
            assertTrue(Kto.of(0.1).needsReference());
        }
    }

    @Test
    void theTensorsOfALossAreFreedButItsResult() {
        try (TensorScope outer = new TensorScope()) {
            LogProbs answers = scores(new float[] {-3}, new float[] {-5}, 4);
            Tensor losses;
            try (TensorScope inner = new TensorScope()) {
                losses = inner.keep(Dpo.of(0.1).losses(answers, answers));
            }
            assertFalse(losses.isNull());
            assertEquals(Math.log(2), losses.item_double(), 1e-6);
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, -1, Double.NaN, Double.POSITIVE_INFINITY})
    void aScaleMustBeAboveZero(double beta) {
        assertThrows(SettingsException.class, () -> Dpo.of(beta));
        assertThrows(SettingsException.class, () -> new Hinge(beta));
        assertThrows(SettingsException.class, () -> new Ipo(beta));
        assertThrows(SettingsException.class, () -> new SimPo(beta, 1));
        assertThrows(SettingsException.class, () -> new Orpo(beta));
        assertThrows(SettingsException.class, () -> new RobustDpo(beta, 0.1));
        assertThrows(SettingsException.class, () -> new Cpo(beta, 0.1));
        assertThrows(SettingsException.class, () -> new WithSft(Dpo.of(1), beta, AnswerLoss.TOKENS));
        assertEquals(
                3,
                assertThrows(SettingsException.class, () -> new Kto(beta, beta, beta))
                        .problems()
                        .size());
    }

    @Test
    void otherSettingsAreCheckedToo() {
        assertThrows(SettingsException.class, () -> new Dpo(0.1, 0.5));
        assertThrows(SettingsException.class, () -> new Dpo(0.1, -0.1));
        assertThrows(SettingsException.class, () -> new SimPo(2, -1));
        assertThrows(SettingsException.class, () -> new RobustDpo(0.1, 0.5));
        assertThrows(SettingsException.class, () -> new Cpo(0.1, 0.5));
        try (TensorScope scope = new TensorScope()) {
            assertThrows(IllegalArgumentException.class, () -> new LogProbs(vector(-1), null, new int[] {0}));
            assertThrows(IllegalArgumentException.class, () -> new LogProbs(vector(-1), vector(-1, -2), new int[] {3}));
        }
    }
}
