package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

/**
 * Stopping after any batch and going on from the saved position gives the same batches as not stopping: with shuffling, mixing,
 * packing, padding by length and rows that are encoded ahead of need, wherever the loader had run ahead to.
 */
class ResumeTest {
    private static final int CONFIGURATIONS = 500;
    private static final int LIMIT = 24;

    /** A letter is a token; what stands behind the question is learned. */
    private static EncodedChat letters(Conversation conversation) {
        String question = conversation.messages().get(0).content();
        String answer = conversation.messages().get(1).content();
        int[] ids = (question + answer).chars().toArray();
        boolean[] trained = new boolean[ids.length];
        for (int i = question.length(); i < ids.length; i++) {
            trained[i] = true;
        }
        return new EncodedChat(ids, trained);
    }

    private static ExampleEncoder encoder() {
        return new ExampleEncoder(
                ResumeTest::letters,
                text -> text.chars().toArray(),
                new Encoding(LIMIT, Truncation.SKIP, TrainOn.ANSWERS));
    }

    private static Dataset source(Random random, String name) {
        List<Example> examples = new ArrayList<>();
        int size = 1 + random.nextInt(60);
        for (int i = 0; i < size; i++) {
            String number = name + i + ":";
            examples.add(
                    i > 0 && random.nextInt(6) == 0
                            ? new TextExample(number + "t".repeat(random.nextInt(60)), new Provenance("x", i))
                            : SftExample.of(
                                    number + "q".repeat(i == 0 ? 1 : random.nextInt(20)),
                                    "a".repeat(1 + random.nextInt(8))));
        }
        return Dataset.of(examples);
    }

    private static Dataset mixed(Random random) {
        Dataset one = source(random, "A");
        return switch (random.nextInt(4)) {
            case 0 -> one;
            case 1 -> Dataset.concat(one, source(random, "B"), source(random, "C"));
            case 2 -> one.repeated(0.3 + 2 * random.nextDouble(), random.nextLong());
            default -> {
                Map<Dataset, Double> shares = new LinkedHashMap<>();
                shares.put(one, 0.1 + random.nextDouble());
                shares.put(source(random, "B"), 0.1 + random.nextDouble());
                yield Dataset.mix(shares, random.nextLong());
            }
        };
    }

    /** Makes equal loaders. */
    private static Supplier<BatchLoader> loaders(Random random) {
        Dataset dataset = mixed(random);
        int microBatch = 1 + random.nextInt(4);
        int accumulation = 1 + random.nextInt(3);
        long seed = random.nextLong();
        boolean shuffle = random.nextBoolean();
        boolean packed = random.nextBoolean();
        Collator collator = new Collator(
                0,
                new Collator.Multiple(1 + random.nextInt(8)),
                packed ? Collator.Layout.PACKED : Collator.Layout.PADDED);
        SftEncoder sft =
                new SftEncoder(ResumeTest::letters, Set.of(), new Encoding(LIMIT, Truncation.SKIP, TrainOn.ANSWERS));
        EncodedDataset eager = sft.encode(dataset);
        return switch (random.nextInt(4)) {
            case 0 -> () -> new BatchLoader(eager, microBatch, accumulation, seed, collator, shuffle);
            case 1 -> () -> BatchLoader.groupedByLength(eager.examples(), microBatch, accumulation, seed, collator);
            case 2 -> {
                List<List<EncodedExample>> rows = RowPacker.pack(eager.examples(), 2 * LIMIT);
                Collator full = new Collator(0, new Collator.Multiple(1), Collator.Layout.PACKED);
                yield () -> BatchLoader.ofRows(rows, microBatch, accumulation, seed, full);
            }
            default ->
                () -> new BatchLoader(
                        lazily(dataset, eager.report()), microBatch, accumulation, seed, collator, shuffle);
        };
    }

    private static final ReportBuilder.Vocabulary NO_VOCABULARY = new ReportBuilder.Vocabulary() {
        @Override
        public Set<Integer> stopIds() {
            return Set.of();
        }

        @Override
        public String decode(int[] ids) {
            return "";
        }

        @Override
        public boolean spellsSpecial(String text) {
            return false;
        }

        @Override
        public boolean isUnknown(int id) {
            return false;
        }
    };

    private static EncodedDataset lazily(Dataset dataset, DataReport report) {
        ReportBuilder counts = new ReportBuilder(NO_VOCABULARY, LIMIT);
        return EncodedDataset.lazily(
                new LazyUnits(dataset.examples(), encoder(), counts), all -> report, counts, LIMIT);
    }

    private static void assertSame(OptimizerBatch expected, OptimizerBatch found, String what) {
        assertEquals(expected.end(), found.end(), what);
        assertEquals(expected.microBatches().size(), found.microBatches().size(), what);
        for (int i = 0; i < expected.microBatches().size(); i++) {
            assertArrayEquals(
                    expected.microBatches().get(i).inputIds(),
                    found.microBatches().get(i).inputIds(),
                    what);
            assertArrayEquals(
                    expected.microBatches().get(i).labels(),
                    found.microBatches().get(i).labels(),
                    what);
        }
    }

    @Test
    void goingOnGivesTheBatchesOfNotStopping() {
        for (int seed = 0; seed < CONFIGURATIONS; seed++) {
            String what = "configuration of seed " + seed;
            Random random = new Random(seed);
            Supplier<BatchLoader> loaders = loaders(random);
            BatchLoader whole = loaders.get();
            int steps = 1 + random.nextInt(3 * whole.stepsPerEpoch() + 2);
            List<OptimizerBatch> expected = new ArrayList<>();
            for (int i = 0; i < steps + 6; i++) {
                expected.add(whole.next());
            }
            BatchLoader stopped = loaders.get();
            int done = random.nextInt(steps);
            OptimizerBatch last = null;
            for (int i = 0; i <= done; i++) {
                last = stopped.next();
            }
            // The device is behind: what counts is where the step that it finished ended.
            for (int i = random.nextInt(4); i > 0; i--) {
                stopped.next();
            }
            BatchLoader resumed = loaders.get();
            resumed.seek(last.end());
            for (int i = done + 1; i < expected.size(); i++) {
                assertSame(expected.get(i), resumed.next(), what);
            }
        }
    }
}
