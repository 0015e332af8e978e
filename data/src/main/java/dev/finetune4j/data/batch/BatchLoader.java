package dev.finetune4j.data.batch;

import java.util.ArrayList;
import java.util.List;

/**
 * Data loader: deals out examples epoch after epoch, one {@link OptimizerBatch} for each optimizer step.
 *
 * <p>An optimizer batch takes the next microBatch × accumulation examples of the epoch, and which ones these are depends
 * on the product alone: 1 × 8, 2 × 4 and 4 × 2 give the same eight in the same order. The last one of an epoch takes
 * what is left; no example is dropped, and none reaches into the next epoch.
 *
 * <p>Shuffled, each epoch has an order of its own, which depends on the number of examples, the seed and the epoch
 * alone and stays the same in later versions.
 *
 * <p>Not thread-safe.
 */
public final class BatchLoader {
    private final List<EncodedExample> examples;
    private final int microBatch;
    private final int optimizerBatch;
    private final long seed;
    private final Collator collator;
    private final boolean shuffle;
    private int[] order;
    private Position position = new Position(0, 0);

    /**
     * Where a loader stands, for going on later with another loader of the same data and seed.
     *
     * @param epoch counted from 0
     * @param next how many examples of the epoch were dealt out
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
        if (examples.isEmpty()) {
            throw new IllegalArgumentException("a loader needs at least one example, but got none");
        }
        if (microBatch < 1 || accumulation < 1 || (long) microBatch * accumulation > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("microBatch is " + microBatch + " and accumulation is " + accumulation
                    + ", but both must be at least 1 and their product below 2^31");
        }
        this.examples = List.copyOf(examples);
        this.microBatch = microBatch;
        this.optimizerBatch = microBatch * accumulation;
        this.seed = seed;
        this.collator = collator;
        this.shuffle = shuffle;
        this.order = order(0);
    }

    /** The batch of the next optimizer step. After an epoch's last comes the next one's first. */
    public OptimizerBatch next() {
        int end = (int) Math.min((long) position.next + optimizerBatch, examples.size());
        List<Batch> batches = new ArrayList<>();
        for (long start = position.next; start < end; start += microBatch) {
            batches.add(batch((int) start, (int) Math.min(start + microBatch, end)));
        }
        if (end < examples.size()) {
            position = new Position(position.epoch, end);
        } else {
            seek(new Position(position.epoch + 1, 0));
        }
        return new OptimizerBatch(batches, position);
    }

    private Batch batch(int from, int to) {
        List<EncodedExample> rows = new ArrayList<>(to - from);
        for (int i = from; i < to; i++) {
            rows.add(examples.get(order[i]));
        }
        return collator.collate(rows);
    }

    /** How many examples an epoch has. */
    public int size() {
        return examples.size();
    }

    /** How many optimizer steps an epoch has. */
    public int stepsPerEpoch() {
        return (int) (((long) examples.size() + optimizerBatch - 1) / optimizerBatch);
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
        if (target.next() >= examples.size()) {
            throw new IllegalArgumentException("next is " + target.next() + ", but an epoch has " + examples.size()
                    + " examples; a position belongs to the data it was taken with");
        }
        if (target.epoch() != position.epoch) {
            order = order(target.epoch());
        }
        position = target;
    }

    private int[] order(int epoch) {
        return shuffle ? Permutation.of(examples.size(), seed, epoch) : Permutation.identity(examples.size());
    }
}
