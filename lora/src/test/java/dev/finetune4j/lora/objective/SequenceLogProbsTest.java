package dev.finetune4j.lora.objective;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.nn.SequenceLogProbs;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TensorData;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

class SequenceLogProbsTest {
    private static final int WIDTH = 6;
    private static final int VOCABULARY = 40;

    private record Head(Tensor weight) implements UnaryOperator<Tensor> {
        @Override
        public Tensor apply(Tensor x) {
            return torch.matmul(x, weight.t());
        }
    }

    private static SequenceLogProbs.Head of(Head head) {
        return new SequenceLogProbs.Head(head, 0);
    }

    private static Tensor random(SplittableRandom random, double bound, long... shape) {
        return Tensors.uniform(ComputeDevice.cpu(), random, bound, shape).set_requires_grad(true);
    }

    /** About two thirds of the positions have a label; the last row has none. */
    private static long[] labels(SplittableRandom random, int rows, int length) {
        long[] labels = new long[rows * length];
        Arrays.fill(labels, Labels.IGNORE);
        for (int i = 0; i < (rows - 1) * length; i++) {
            if (random.nextInt(3) > 0) {
                labels[i] = random.nextInt(VOCABULARY);
            }
        }
        return labels;
    }

    /** Targets of rows that are a sequence each. */
    private static Targets targets(Tensor hidden, long[] labels) {
        int[] lengths = new int[(int) hidden.size(0)];
        Arrays.fill(lengths, (int) hidden.size(1));
        return Targets.ofSequences(ComputeDevice.cpu(), labels, 1, lengths);
    }

    /** The same with all logits at once and gradients by autograd alone. */
    private static Tensor direct(Tensor hidden, Head head, long[] labels) {
        long rows = hidden.size(0);
        long length = hidden.size(1);
        long[] ids = labels.clone();
        float[] mask = new float[ids.length];
        for (int i = 0; i < ids.length; i++) {
            mask[i] = ids[i] == Labels.IGNORE ? 0 : 1;
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

            Targets targets = targets(hidden, labels);
            Tensor sums = SequenceLogProbs.of(hidden, of(head), targets);
            Head frozen = new Head(head.weight().detach());
            assertFalse(sums.requires_grad());
            assertTrue(TensorData.relativeError(Tensors.toFloats(expected), Tensors.toFloats(sums)) < 1e-6);
            assertEquals(0, Tensors.toFloats(sums)[rows - 1], "a row without labels");
            for (Head used : List.of(frozen, head)) {
                SequenceLogProbs policy = SequenceLogProbs.recorded(hidden, of(used), targets);
                assertTrue(TensorData.relativeError(Tensors.toFloats(sums), Tensors.toFloats(policy.sums())) < 1e-6);
                torch.dot(policy.sums(), weights).backward();
                policy.backward();
                assertTrue(TensorData.relativeError(hiddenGradient, Tensors.toFloats(hidden.grad())) < 1e-5);
                hidden.grad().zero_();
            }
            assertTrue(TensorData.relativeError(
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

            SequenceLogProbs scores = SequenceLogProbs.recorded(chosen, of(head), targets(chosen, chosenLabels));
            LogProbs better = new LogProbs(scores.sums(), null, five);
            LogProbs worse = new LogProbs(
                    SequenceLogProbs.of(rejected, of(head), targets(rejected, rejectedLabels))
                            .set_requires_grad(true),
                    null,
                    seven);
            loss.losses(better, worse).mean().backward();
            scores.backward();
            assertTrue(TensorData.relativeError(expected, Tensors.toFloats(chosen.grad())) < 1e-5);
        }
    }

    /** Sequences of unequal lengths behind one another, and targets that only fill up. */
    @Test
    void packedSequencesHaveTheSumsOfTheirOwnTargets() {
        SplittableRandom random = new SplittableRandom(5);
        try (TensorScope scope = new TensorScope()) {
            Tensor hidden = random(random, 2, 1, 9, WIDTH);
            Head head = new Head(random(random, 1, VOCABULARY, WIDTH));
            long[] labels = {3, Labels.IGNORE, 5, 7, 9, 11, Labels.IGNORE, 13, 15};
            Targets targets = Targets.ofSequences(ComputeDevice.cpu(), labels, 8, 2, 1, 4, 2);
            assertEquals(8, targets.count());
            float[] sums = Tensors.toFloats(SequenceLogProbs.of(hidden, of(head), targets));
            int start = 0;
            int[] lengths = {2, 1, 4, 2};
            for (int i = 0; i < lengths.length; i++) {
                long[] own = Arrays.copyOfRange(labels, start, start + lengths[i]);
                float[] alone = Tensors.toFloats(direct(hidden.narrow(1, start, lengths[i]), head, own));
                assertEquals(alone[0], sums[i], 1e-5, "sequence " + i);
                start += lengths[i];
            }
        }
    }

    @Test
    void aWrongNumberOfLabelsIsAnError() {
        try (TensorScope scope = new TensorScope()) {
            Tensor hidden = random(new SplittableRandom(1), 1, 2, 3, WIDTH);
            Head head = new Head(random(new SplittableRandom(2), 1, VOCABULARY, WIDTH));
            Targets five = Targets.ofSequences(ComputeDevice.cpu(), new long[5], 1, 3, 2);
            assertThrows(IllegalArgumentException.class, () -> SequenceLogProbs.of(hidden, of(head), five));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> Targets.ofSequences(ComputeDevice.cpu(), new long[5], 1, 3, 3));
            Targets ofTokens = Targets.of(ComputeDevice.cpu(), new long[6], 1);
            assertThrows(IllegalArgumentException.class, () -> SequenceLogProbs.of(hidden, of(head), ofTokens));
        }
    }
}
