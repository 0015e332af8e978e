package dev.finetune4j.data.batch;

import java.util.ArrayList;
import java.util.List;

/**
 * Data loader: deals out examples epoch after epoch, one {@link OptimizerBatch} for each optimizer step.
 *
 * <p>An optimizer batch takes the next microBatch × accumulation examples of the epoch, and which ones these are depends
 * on the product alone: 1 × 8, 2 × 4 and 4 × 2 give the same eight in the same order. The last one of an epoch takes
 * what is left; no example is dropped, and none reaches into the next epoch. Where rows were {@linkplain RowPacker packed}
 * beforehand, a row takes the place of an example in all of this.
 *
 * <p>Shuffled, each epoch has an order of its own, which depends on the number of examples, the seed and the epoch
 * alone and stays the same in later versions; where lengths are grouped, also on the lengths and the optimizer batch.
 *
 * <p>Not thread-safe.
 */
public final class BatchLoader {
    /** What is dealt out, one after another: examples by themselves, or rows of several. */
    private final List<List<EncodedExample>> units;

    private final int microBatch;
    private final int optimizerBatch;
    private final long seed;
    private final Collator collator;
    private final Order unitOrder;
    private int[] order;
    private Position position = new Position(0, 0);

    /**
     * Where a loader stands, for going on later with another loader of the same data and seed.
     *
     * @param epoch counted from 0
     * @param next how many examples, or packed rows, of the epoch were dealt out
     */
    public record Position(int epoch, int next) {
        /** @throws IllegalArgumentException if a number is negative */
        public Position {
            if (epoch < 0 || next < 0) {
                throw new IllegalArgumentException(
                        "epoch is " + epoch + " and next is " + next + ", but both are counted from 0");
            }
        }
    }

    /** In which order an epoch deals out. */
    private enum Order {
        AS_GIVEN,
        SHUFFLED,
        GROUPED_BY_LENGTH
    }

    /**
     * @param examples at least one
     * @param microBatch examples that go through the model together
     * @param accumulation micro-batches of one optimizer batch
     * @param seed decides the order
     * @param collator makes the batches
     * @param shuffle false for the order of the list in every epoch
     * @throws IllegalArgumentException if there is no example, a number is less than 1, or their product is too large
     */
    public BatchLoader(
            List<EncodedExample> examples,
            int microBatch,
            int accumulation,
            long seed,
            Collator collator,
            boolean shuffle) {
        this(alone(examples), microBatch, accumulation, seed, collator, shuffle ? Order.SHUFFLED : Order.AS_GIVEN);
    }

    private BatchLoader(
            List<List<EncodedExample>> units,
            int microBatch,
            int accumulation,
            long seed,
            Collator collator,
            Order unitOrder) {
        if (units.isEmpty()) {
            throw new IllegalArgumentException("a loader needs at least one example, but got none");
        }
        if (microBatch < 1 || accumulation < 1 || (long) microBatch * accumulation > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("microBatch is " + microBatch + " and accumulation is " + accumulation
                    + ", but both must be at least 1 and their product below 2^31");
        }
        this.units = List.copyOf(units);
        this.microBatch = microBatch;
        this.optimizerBatch = microBatch * accumulation;
        this.seed = seed;
        this.collator = collator;
        this.unitOrder = unitOrder;
        this.order = order(0);
    }

    /**
     * A loader whose optimizer batches are of examples of nearly the same length, for batches that are padded: shuffled, sorted
     * by length within groups of up to fifty optimizer batches, and these shuffled again.
     *
     * @param examples as in the constructor, like the rest
     */
    public static BatchLoader groupedByLength(
            List<EncodedExample> examples, int microBatch, int accumulation, long seed, Collator collator) {
        return new BatchLoader(alone(examples), microBatch, accumulation, seed, collator, Order.GROUPED_BY_LENGTH);
    }

    /**
     * A shuffling loader of rows that were packed beforehand.
     *
     * @param rows at least one, of at least one example each
     * @param microBatch rows that go through the model together
     */
    public static BatchLoader ofRows(
            List<List<EncodedExample>> rows, int microBatch, int accumulation, long seed, Collator collator) {
        return new BatchLoader(rows, microBatch, accumulation, seed, collator, Order.SHUFFLED);
    }

    private static List<List<EncodedExample>> alone(List<EncodedExample> examples) {
        return examples.stream().map(List::of).toList();
    }

    /** The batch of the next optimizer step. After an epoch's last comes the next one's first. */
    public OptimizerBatch next() {
        int end = (int) Math.min((long) position.next + optimizerBatch, units.size());
        List<Batch> batches = new ArrayList<>();
        for (long start = position.next; start < end; start += microBatch) {
            batches.add(collator.collate(examples(order, (int) start, (int) Math.min(start + microBatch, end))));
        }
        if (end < units.size()) {
            position = new Position(position.epoch, end);
        } else {
            seek(new Position(position.epoch + 1, 0));
        }
        return new OptimizerBatch(batches, position);
    }

    private List<EncodedExample> examples(int[] epochOrder, int from, int to) {
        List<EncodedExample> chosen = new ArrayList<>(to - from);
        for (int i = from; i < to; i++) {
            chosen.addAll(units.get(epochOrder[i]));
        }
        return chosen;
    }

    /**
     * The most positions, B · T, that a micro-batch of the first epochs has.
     *
     * @param epochs at least 1
     */
    public long largestBatch(int epochs) {
        long largest = 0;
        for (int epoch = 0; epoch < epochs; epoch++) {
            int[] epochOrder = order(epoch);
            for (long start = 0; start < units.size(); start += optimizerBatch) {
                long end = Math.min(start + optimizerBatch, units.size());
                for (long from = start; from < end; from += microBatch) {
                    int to = (int) Math.min(from + microBatch, end);
                    largest = Math.max(largest, collator.positions(examples(epochOrder, (int) from, to)));
                }
            }
        }
        return largest;
    }

    /** How many examples an epoch has. */
    public int size() {
        return units.stream().mapToInt(List::size).sum();
    }

    /** How many optimizer steps an epoch has. */
    public int stepsPerEpoch() {
        return (int) (((long) units.size() + optimizerBatch - 1) / optimizerBatch);
    }

    /** Where the next optimizer batch begins. After the last one of an epoch that is the beginning of the next epoch. */
    public Position position() {
        return position;
    }

    /**
     * Goes to a place, so that the next optimizer batch begins there.
     *
     * @throws IllegalArgumentException if an epoch has no such place
     */
    public void seek(Position target) {
        if (target.next() >= units.size()) {
            throw new IllegalArgumentException("next is " + target.next() + ", but an epoch has " + units.size()
                    + " examples or rows; a position belongs to the data it was taken with");
        }
        if (target.epoch() != position.epoch) {
            order = order(target.epoch());
        }
        position = target;
    }

    private int[] order(int epoch) {
        return switch (unitOrder) {
            case AS_GIVEN -> Permutation.identity(units.size());
            case SHUFFLED -> Permutation.of(units.size(), seed, epoch);
            case GROUPED_BY_LENGTH -> LengthGroups.order(lengths(), optimizerBatch, seed, epoch);
        };
    }

    private int[] lengths() {
        return units.stream().mapToInt(unit -> unit.get(0).longest()).toArray();
    }
}
