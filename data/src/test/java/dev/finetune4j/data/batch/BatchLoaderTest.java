package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.data.Fixtures;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** What the training loop relies on: each example once an epoch, optimizer batches that do not depend on their split, resume. */
class BatchLoaderTest {
    private static BatchLoader loader(int examples, int microBatch, int accumulation, long seed) {
        return new BatchLoader(Fixtures.encoded(examples), microBatch, accumulation, seed, new Collator(0, 1), true);
    }

    /** The numbers of the examples in an optimizer batch, in order. */
    private static List<Integer> numbers(List<Batch> microBatches) {
        return microBatches.stream()
                .flatMap(batch -> IntStream.range(0, batch.rows())
                        .mapToObj(row -> (int) batch.inputIds()[row * batch.length()] - 1000))
                .toList();
    }

    private static List<List<Integer>> batches(BatchLoader loader, int count) {
        return IntStream.range(0, count)
                .mapToObj(i -> numbers(loader.next().microBatches()))
                .toList();
    }

    private static List<Integer> epoch(BatchLoader loader) {
        return batches(loader, loader.stepsPerEpoch()).stream()
                .flatMap(List::stream)
                .toList();
    }

    @ParameterizedTest
    @CsvSource({"16,1,8,2", "17,1,8,3", "8,4,2,1", "7,4,2,1", "9,2,4,2", "1,8,8,1", "10,3,2,2", "5,1,1,5"})
    void anEpochHasEveryExampleOnce(int examples, int microBatch, int accumulation, int steps) {
        BatchLoader loader = loader(examples, microBatch, accumulation, 3);
        assertEquals(steps, loader.stepsPerEpoch());
        for (int epoch = 0; epoch < 3; epoch++) {
            int left = examples;
            List<Integer> seen = new ArrayList<>();
            for (int step = 0; step < steps; step++) {
                assertEquals(epoch, loader.position().epoch());
                List<Batch> microBatches = loader.next().microBatches();
                int size = Math.min(left, microBatch * accumulation);
                assertEquals(size, numbers(microBatches).size());
                assertEquals((size + microBatch - 1) / microBatch, microBatches.size());
                left -= size;
                seen.addAll(numbers(microBatches));
            }
            assertEquals(0, left);
            assertEquals(
                    IntStream.range(0, examples).boxed().toList(),
                    seen.stream().sorted().toList());
        }
    }

    @Test
    void theSplitIntoMicroBatchesDoesNotMatter() {
        List<List<Integer>> expected = batches(loader(21, 8, 1, 5), 7);
        assertEquals(expected, batches(loader(21, 1, 8, 5), 7));
        assertEquals(expected, batches(loader(21, 2, 4, 5), 7));
        assertEquals(expected, batches(loader(21, 4, 2, 5), 7));
        assertEquals(
                List.of(8, 8, 5, 8, 8, 5, 8), expected.stream().map(List::size).toList());
    }

    @Test
    void epochsAndSeedsHaveOrdersOfTheirOwn() {
        BatchLoader loader = loader(50, 4, 2, 1);
        List<Integer> first = epoch(loader);
        List<Integer> second = epoch(loader);
        assertNotEquals(first, second);
        assertNotEquals(first, epoch(loader(50, 4, 2, 2)));
        assertEquals(first, epoch(loader(50, 5, 5, 1)));
    }

    @Test
    void withoutShuffleTheListDecides() {
        BatchLoader loader = new BatchLoader(Fixtures.encoded(5), 2, 1, 9, new Collator(0, 1), false);
        assertEquals(List.of(List.of(0, 1), List.of(2, 3), List.of(4), List.of(0, 1)), batches(loader, 4));
    }

    @Test
    void aLoaderGoesOnWhereAnotherStood() {
        for (int steps = 0; steps < 12; steps++) {
            BatchLoader first = loader(11, 2, 2, 7);
            batches(first, steps);
            BatchLoader.Position position = first.position();
            BatchLoader second = loader(11, 2, 2, 7);
            second.seek(position);
            assertEquals(position, second.position());
            assertEquals(batches(first, 5), batches(second, 5));
        }
    }

    @Test
    void theEndOfAnEpochIsTheBeginningOfTheNext() {
        BatchLoader loader = loader(6, 3, 1, 0);
        assertEquals(new BatchLoader.Position(0, 0), loader.position());
        loader.next();
        assertEquals(new BatchLoader.Position(0, 3), loader.position());
        loader.next();
        assertEquals(new BatchLoader.Position(1, 0), loader.position());
        loader.seek(new BatchLoader.Position(0, 0));
        assertEquals(epoch(loader(6, 3, 1, 0)), epoch(loader));
    }

    @Test
    void anotherBatchSizeGoesOnWithTheSameOrder() {
        BatchLoader first = loader(10, 4, 1, 3);
        first.next();
        BatchLoader second = loader(10, 3, 1, 3);
        second.seek(first.position());
        assertEquals(
                epoch(loader(10, 10, 1, 3)).subList(4, 10),
                batches(second, 2).stream().flatMap(List::stream).toList());
    }

    @Test
    void hugeOptimizerBatchesAreAllowed() {
        BatchLoader loader = loader(5, Integer.MAX_VALUE, 1, 1);
        assertEquals(1, loader.stepsPerEpoch());
        loader.seek(new BatchLoader.Position(0, 2));
        assertEquals(3, numbers(loader.next().microBatches()).size());
    }

    @Test
    void ordersStayTheSameInLaterVersions() {
        assertArrayEquals(new int[] {1, 7, 2, 5, 6, 4, 0, 9, 8, 3}, Permutation.of(10, 42, 0));
        assertArrayEquals(new int[] {6, 2, 3, 8, 0, 5, 1, 9, 7, 4}, Permutation.of(10, 42, 1));
    }

    @Test
    void ordersAreFair() {
        int[][] counts = new int[5][5];
        for (int seed = 0; seed < 5000; seed++) {
            int[] order = Permutation.of(5, seed, seed % 7);
            for (int place = 0; place < 5; place++) {
                counts[place][order[place]]++;
            }
        }
        // Each cell is binomial with mean 1000 and deviation 28.
        for (int[] row : counts) {
            Arrays.stream(row).forEach(count -> assertEquals(1000, count, 150));
        }
    }

    @Test
    void arguments() {
        Collator collator = new Collator(0, 1);
        List<EncodedExample> one = Fixtures.encoded(1);
        assertThrows(IllegalArgumentException.class, () -> new BatchLoader(List.of(), 1, 1, 0, collator, true));
        assertThrows(IllegalArgumentException.class, () -> new BatchLoader(one, 0, 1, 0, collator, true));
        assertThrows(IllegalArgumentException.class, () -> new BatchLoader(one, 1, 0, 0, collator, true));
        assertThrows(IllegalArgumentException.class, () -> new BatchLoader(one, 1 << 20, 1 << 20, 0, collator, true));
        assertThrows(IllegalArgumentException.class, () -> new BatchLoader.Position(-1, 0));
        BatchLoader loader = loader(3, 1, 1, 0);
        IllegalArgumentException failure =
                assertThrows(IllegalArgumentException.class, () -> loader.seek(new BatchLoader.Position(0, 3)));
        assertTrue(failure.getMessage().contains("has 3 examples"), failure.getMessage());
    }

    private static List<EncodedExample> ofLengths(IntStream lengths) {
        return lengths.mapToObj(length -> new EncodedExample(new int[length], new int[length]))
                .toList();
    }

    private static List<Integer> lengths(OptimizerBatch batch) {
        return batch.microBatches().stream()
                .flatMap(micro -> micro.sequences().stream())
                .map(sequence -> sequence.tokens().length())
                .toList();
    }

    /** Each example once an epoch; the batches hold neighbours in length, come in any order and do not depend on their split. */
    @ParameterizedTest
    @CsvSource({"203,8,1", "203,2,4", "7,8,1", "64,4,2"})
    void groupedByLengthABatchIsOfNearlyOneLength(int count, int microBatch, int accumulation) {
        List<EncodedExample> examples = ofLengths(new SplittableRandom(5).ints(count, 1, 1000));
        Collator collator = new Collator(0, 1);
        BatchLoader loader = BatchLoader.groupedByLength(examples, microBatch, accumulation, 9, collator);
        BatchLoader whole = BatchLoader.groupedByLength(examples, microBatch * accumulation, 1, 9, collator);
        List<List<Integer>> orders = new ArrayList<>();
        for (int epoch = 0; epoch < 2; epoch++) {
            List<Integer> seen = new ArrayList<>();
            double spread = 0;
            for (int step = 0; step < loader.stepsPerEpoch(); step++) {
                List<Integer> batch = lengths(loader.next());
                assertEquals(batch, lengths(whole.next()));
                seen.addAll(batch);
                spread += batch.stream().mapToInt(i -> i).max().orElseThrow()
                        - batch.stream().mapToInt(i -> i).min().orElseThrow();
            }
            if (count > 100) {
                assertTrue(spread / loader.stepsPerEpoch() < 300, "mean spread " + spread / loader.stepsPerEpoch());
            }
            orders.add(List.copyOf(seen));
            seen.sort(null);
            assertEquals(examples.stream().map(EncodedExample::tokens).sorted().toList(), seen);
        }
        assertNotEquals(orders.get(0), orders.get(1));
    }

    @Test
    void packedRowsAreDealtOutWhole() {
        List<EncodedExample> examples = ofLengths(IntStream.rangeClosed(1, 40));
        List<List<EncodedExample>> rows = RowPacker.pack(examples, 64);
        Collator collator = new Collator(0, new Collator.Multiple(64), Collator.Layout.PACKED);
        BatchLoader loader = BatchLoader.ofRows(rows, 2, 1, 3, collator);
        assertEquals(40, loader.size());
        assertEquals((rows.size() + 1) / 2, loader.stepsPerEpoch());
        List<Integer> seen = new ArrayList<>();
        for (int step = 0; step < loader.stepsPerEpoch(); step++) {
            OptimizerBatch batch = loader.next();
            assertTrue(batch.microBatches().get(0).length() <= 128);
            seen.addAll(lengths(batch));
        }
        seen.sort(null);
        assertEquals(IntStream.rangeClosed(1, 40).boxed().toList(), seen);
        assertEquals(new BatchLoader.Position(1, 0), loader.position());
    }

    @ParameterizedTest
    @EnumSource(Collator.Layout.class)
    void theLargestBatchIsThatOfTheEpochs(Collator.Layout layout) {
        List<EncodedExample> examples = ofLengths(new SplittableRandom(7).ints(50, 1, 300));
        Collator collator = new Collator(0, new Collator.FewSizes(), layout);
        BatchLoader loader = new BatchLoader(examples, 4, 2, 11, collator, true);
        long largest = 0;
        for (int step = 0; step < 3 * loader.stepsPerEpoch(); step++) {
            for (Batch batch : loader.next().microBatches()) {
                largest = Math.max(largest, (long) batch.rows() * batch.length());
            }
        }
        assertEquals(largest, loader.largestBatch(3));
        // What chance may bring together in many epochs is known without dealing them out.
        long most = loader.largestBatch(Integer.MAX_VALUE);
        assertTrue(largest <= most && most <= 4 * 320, largest + " of " + most);
    }
}
