package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** What the ranks of a training get of its data. */
class RankSharesTest {
    private static final Collator COLLATOR = new Collator(0, new Collator.Multiple(1), Collator.Layout.PACKED);

    /** Examples of random lengths, each with its number as the first token. */
    private static List<EncodedExample> examples(int count, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        List<EncodedExample> examples = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int[] ids = new int[2 + random.nextInt(60)];
            ids[0] = i;
            examples.add(new EncodedExample(ids, ids));
        }
        return examples;
    }

    private static List<Integer> numbers(List<Batch> batches) {
        return batches.stream()
                .flatMap(batch -> batch.sequences().stream())
                .map(sequence -> sequence.tokens().inputIds()[0])
                .toList();
    }

    @Test
    void allRanksHaveTheStepsAndTheExamplesOfOne() {
        for (int ranks : List.of(1, 2, 3, 8)) {
            int micro = 2;
            int accumulation = 3;
            List<EncodedExample> examples = examples(101, ranks);
            BatchLoader alone = new BatchLoader(examples, micro * ranks, accumulation, 5, COLLATOR, true);
            List<BatchLoader> shared = IntStream.range(0, ranks)
                    .mapToObj(rank ->
                            new BatchLoader(examples, micro, accumulation, 5, COLLATOR, true).ofRank(rank, ranks))
                    .toList();
            for (int step = 0; step < 2 * alone.stepsPerEpoch(); step++) {
                OptimizerBatch expected = alone.next();
                for (int rank = 0; rank < ranks; rank++) {
                    BatchLoader loader = shared.get(rank);
                    assertEquals(alone.stepsPerEpoch(), loader.stepsPerEpoch());
                    OptimizerBatch found = loader.next();
                    assertEquals(expected.end(), found.end());
                    assertEquals(expected.size(), found.size());
                    assertEquals(found.ofRanks().get(rank), found.microBatches());
                    for (int i = 0; i < expected.size(); i++) {
                        assertEquals(
                                numbers(expected.shares(i)).stream().sorted().toList(),
                                numbers(found.shares(i)).stream().sorted().toList(),
                                "micro-batch " + i + " of step " + step);
                    }
                    assertEquals(
                            numbers(expected.ofAllRanks()).stream().sorted().toList(),
                            numbers(found.ofAllRanks()).stream().sorted().toList());
                }
            }
        }
    }

    @Test
    void sharesAreOfEquallyManyExamplesAndNearlyEquallyManyTokens() {
        BatchLoader loader = new BatchLoader(examples(4000, 1), 4, 4, 1, COLLATOR, true).ofRank(0, 4);
        double worst = 0;
        double sum = 0;
        int steps = loader.stepsPerEpoch();
        for (int i = 0; i < steps; i++) {
            OptimizerBatch batch = loader.next();
            int[] tokens = batch.ofRanks().stream()
                    .mapToInt(own -> own.stream().mapToInt(Batch::tokens).sum())
                    .toArray();
            int[] counts = batch.ofRanks().stream()
                    .mapToInt(own -> own.stream().mapToInt(Batch::examples).sum())
                    .toArray();
            assertTrue(IntStream.of(counts).max().orElseThrow()
                            - IntStream.of(counts).min().orElseThrow()
                    <= 1);
            double mean = IntStream.of(tokens).average().orElseThrow();
            double most = IntStream.of(tokens).max().orElseThrow() / mean - 1;
            worst = Math.max(worst, most);
            sum += most;
        }
        // As they come, the largest of four shares of 16 examples is 15 % above the mean.
        assertTrue(sum / steps < 0.02, "the largest share is " + sum / steps + " above the mean");
        assertTrue(worst < 0.06, "the largest share is " + worst + " above the mean at worst");
    }

    @Test
    void ofFewExamplesSomeRanksHaveNone() {
        BatchLoader loader = new BatchLoader(examples(5, 1), 1, 1, 1, COLLATOR, false).ofRank(2, 4);
        assertEquals(2, loader.stepsPerEpoch());
        assertEquals(1, loader.next().microBatches().size());
        OptimizerBatch last = loader.next();
        assertEquals(1, last.size());
        assertEquals(1, last.ofAllRanks().size());
        assertEquals(List.of(4), numbers(last.shares(0)));
    }

    @Test
    void thereHasToBeSuchARank() {
        BatchLoader loader = new BatchLoader(examples(5, 1), 1, 1, 1, COLLATOR, false);
        assertThrows(IllegalArgumentException.class, () -> loader.ofRank(2, 2));
        assertThrows(IllegalArgumentException.class, () -> loader.ofRank(-1, 2));
        assertThrows(
                IllegalArgumentException.class,
                () -> loader.ofRank(0, Integer.MAX_VALUE).ofRank(0, 0));
    }
}
