package dev.finetune4j.lora.objective;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

class SequenceLogProbabilityTest {
    private static final int WIDTH = 6;
    private static final int VOCABULARY = 40;

    private record Head(Tensor weight) implements UnaryOperator<Tensor> {
        @Override
        public Tensor apply(Tensor x) {
            return torch.matmul(x, weight.t());
        }
    }

    private static Tensor random(SplittableRandom random, double bound, long... shape) {
        return Tensors.uniform(ComputeDevice.cpu(), random, bound, shape).set_requires_grad(true);
    }

    /** About two thirds of the positions have a label; the last row has none. */
    private static long[] labels(SplittableRandom random, int rows, int length) {
        long[] labels = new long[rows * length];
        Arrays.fill(labels, NextTokenLoss.IGNORE);
        for (int i = 0; i < (rows - 1) * length; i++) {
            if (random.nextInt(3) > 0) {
                labels[i] = random.nextInt(VOCABULARY);
            }
        }
        return labels;
    }

    /** The same with all logits at once and gradients by autograd alone. */
    private static Tensor direct(Tensor hidden, Head head, long[] labels) {
        long rows = hidden.size(0);
        long length = hidden.size(1);
        long[] ids = labels.clone();
        float[] mask = new float[ids.length];
        for (int i = 0; i < ids.length; i++) {
            mask[i] = ids[i] == NextTokenLoss.IGNORE ? 0 : 1;
            ids[i] = Math.max(0, ids[i]);
        }
        Tensor all = torch.log_softmax(head.apply(hidden), -1); // (B, T, V)
        Tensor picked = all.gather(-1, Tensors.ofLongs(ComputeDevice.cpu(), ids, rows, length, 1));
        return picked.view(rows, length)
                .mul(Tensors.ofFloats(ComputeDevice.cpu(), mask, rows, length))
                .sum(1);
    }

    @Test
    void chunksGiveTheSumsAndGradientsOfTheWhole() {
        long seed = 9;
        SplittableRandom random = new SplittableRandom(seed);
        int rows = 4;
        int length = 900;
        try (TensorScope scope = new TensorScope()) {
            Tensor hidden = random(random, 2, rows, length, WIDTH);
            Head head = new Head(random(random, 1, VOCABULARY, WIDTH));
            long[] labels = labels(random, rows, length);
            assertTrue(Arrays.stream(labels).filter(id -> id >= 0).count() > 1024, "needs several chunks");
            Tensor weights = Tensors.ofFloats(ComputeDevice.cpu(), new float[] {0.5f, -2, 0.1f, 7}, rows);

            Tensor expected = direct(hidden, head, labels);
            torch.dot(expected, weights).backward();
            float[] hiddenGradient = Tensors.toFloats(hidden.grad());
            float[] headGradient = Tensors.toFloats(head.weight().grad());
            hidden.grad().zero_();
            head.weight().grad().zero_();

            Tensor sums = SequenceLogProbability.of(hidden, head, labels);
            assertFalse(sums.requires_grad());
            assertTrue(Fixtures.relativeError(Tensors.toFloats(expected), Tensors.toFloats(sums)) < 1e-6);
            assertEquals(0, Tensors.toFloats(sums)[rows - 1], "a row without labels");
            SequenceLogProbability.backward(hidden, head, labels, weights);
            assertTrue(Fixtures.relativeError(hiddenGradient, Tensors.toFloats(hidden.grad())) < 1e-5);
            assertTrue(Fixtures.relativeError(
                            headGradient, Tensors.toFloats(head.weight().grad()))
                    < 1e-5);
        }
    }

    @Test
    void aLossReachesTheHiddenStatesThroughItsScores() {
        SplittableRandom random = new SplittableRandom(4);
        try (TensorScope scope = new TensorScope()) {
            Tensor chosen = random(random, 2, 3, 5, WIDTH);
            Tensor rejected = random(random, 2, 3, 7, WIDTH);
            Head head = new Head(random(random, 1, VOCABULARY, WIDTH));
            long[] chosenLabels = new long[15];
            long[] rejectedLabels = new long[21];
            Arrays.setAll(chosenLabels, i -> i % VOCABULARY);
            Arrays.setAll(rejectedLabels, i -> 7 * i % VOCABULARY);
            SimPo loss = new SimPo(2, 0.5);
            int[] five = {5, 5, 5};
            int[] seven = {7, 7, 7};

            loss.losses(
                            new LogProbs(direct(chosen, head, chosenLabels), null, five),
                            new LogProbs(direct(rejected, head, rejectedLabels), null, seven))
                    .mean()
                    .backward();
            float[] expected = Tensors.toFloats(chosen.grad());
            chosen.grad().zero_();

            LogProbs better = new LogProbs(
                    SequenceLogProbability.of(chosen, head, chosenLabels).set_requires_grad(true), null, five);
            LogProbs worse = new LogProbs(
                    SequenceLogProbability.of(rejected, head, rejectedLabels).set_requires_grad(true), null, seven);
            loss.losses(better, worse).mean().backward();
            SequenceLogProbability.backward(
                    chosen, head, chosenLabels, better.policy().grad());
            assertTrue(Fixtures.relativeError(expected, Tensors.toFloats(chosen.grad())) < 1e-5);
        }
    }

    @Test
    void aWrongNumberOfLabelsIsAnError() {
        try (TensorScope scope = new TensorScope()) {
            Tensor hidden = random(new SplittableRandom(1), 1, 2, 3, WIDTH);
            Head head = new Head(random(new SplittableRandom(2), 1, VOCABULARY, WIDTH));
            assertThrows(IllegalArgumentException.class, () -> SequenceLogProbability.of(hidden, head, new long[5]));
        }
    }
}
