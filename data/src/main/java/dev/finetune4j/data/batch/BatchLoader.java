package dev.finetune4j.data.batch;

import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.function.IntUnaryOperator;
import java.util.stream.IntStream;

/**
 * Data loader: deals out examples epoch after epoch, one {@link OptimizerBatch} for each optimizer step.
 *
 * <p>An optimizer batch takes the next microBatch × accumulation examples of the epoch, and which ones these are depends
 * on the product alone: 1 × 8, 2 × 4 and 4 × 2 give the same eight in the same order. The last one of an epoch takes
 * what is left; no example is dropped, and none reaches into the next epoch. Where rows were {@linkplain RowPacker packed}
 * beforehand, a row takes the place of an example in all of this.
 *
 * <p>Where several ranks train together, a step takes the next microBatch × accumulation × ranks examples, and each of its
 * micro-batches is shared out among the ranks: {@link #ofRank}.
 *
 * <p>Shuffled, each epoch has an order of its own, which depends on the number of examples, the seed and the epoch
 * alone and stays the same in later versions; where lengths are grouped, also on the lengths and the optimizer batch.
 *
 * <p>Not thread-safe.
 */
public final class BatchLoader {
    /** So many more units than the next step takes are made ready. */
    private static final int AHEAD = 64;

    /** Of a training of many epochs so many are looked through for its largest batch. */
    private static final int LOOKED_THROUGH = 64;

    /** What is dealt out, one after another: examples by themselves, or rows of several. */
    private final Units units;

    private final int microBatch;
    private final int optimizerBatch;
    private final long seed;
    private final Collator collator;
    private final Order unitOrder;
    private final int longest;
    private final RankShares ranks;
    /** Which unit of the epoch comes at a place. */
    private IntUnaryOperator order;

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
        this(
                Units.of(alone(examples)),
                microBatch,
                accumulation,
                seed,
                collator,
                shuffle ? Order.SHUFFLED : Order.AS_GIVEN,
                0,
                RankShares.ALONE);
    }

    /**
     * A loader of a data set, whose rows it encodes beforehand where they are not in memory.
     *
     * @param data as the examples of the other constructor, like the rest
     */
    public BatchLoader(
            EncodedDataset data, int microBatch, int accumulation, long seed, Collator collator, boolean shuffle) {
        this(
                data.units(),
                microBatch,
                accumulation,
                seed,
                collator,
                shuffle ? Order.SHUFFLED : Order.AS_GIVEN,
                data.longest(),
                RankShares.ALONE);
    }

    /** @param longest tokens that an example of units that are not in memory may have */
    private BatchLoader(
            Units units,
            int microBatch,
            int accumulation,
            long seed,
            Collator collator,
            Order unitOrder,
            int longest,
            RankShares ranks) {
        if (!units.has(0)) {
            throw new IllegalArgumentException("a loader needs at least one example, but got none");
        }
        if (microBatch < 1
                || accumulation < 1
                || (double) microBatch * accumulation * ranks.ranks() > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("microBatch is " + microBatch + " and accumulation is " + accumulation
                    + ", but both must be at least 1 and their product, for all ranks together, below 2^31");
        }
        this.units = units;
        this.longest = longest;
        this.microBatch = microBatch;
        this.ranks = ranks;
        this.optimizerBatch = microBatch * accumulation * ranks.ranks();
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
        return new BatchLoader(
                Units.of(alone(examples)),
                microBatch,
                accumulation,
                seed,
                collator,
                Order.GROUPED_BY_LENGTH,
                0,
                RankShares.ALONE);
    }

    /**
     * A shuffling loader of rows that the examples of a data set are packed into.
     *
     * @param data in memory, or encoded beforehand
     * @param tokens budget of a row
     * @param layout of the rows
     * @param microBatch rows that go through the model together
     * @throws IllegalArgumentException if an example has more tokens than a row
     * @throws IllegalStateException if the examples are encoded when they are needed
     */
    public static BatchLoader packed(
            EncodedDataset data,
            int tokens,
            Collator.Layout layout,
            int microBatch,
            int accumulation,
            long seed,
            Collator collator) {
        return new BatchLoader(
                data.packed(tokens, layout),
                microBatch,
                accumulation,
                seed,
                collator,
                Order.SHUFFLED,
                tokens,
                RankShares.ALONE);
    }

    /**
     * A shuffling loader of rows that were packed beforehand.
     *
     * @param rows at least one, of at least one example each
     * @param microBatch rows that go through the model together
     */
    public static BatchLoader ofRows(
            List<List<EncodedExample>> rows, int microBatch, int accumulation, long seed, Collator collator) {
        return new BatchLoader(
                Units.of(rows), microBatch, accumulation, seed, collator, Order.SHUFFLED, 0, RankShares.ALONE);
    }

    /**
     * A loader of the same data for one of several ranks that train together. An optimizer batch is as large for each rank as it was for
     * one, and so many times as large for all. A micro-batch of all ranks is the one of a loader whose microBatch is so many times as
     * large; it is shared out so that the ranks have equally many examples, or rows, if that is possible, and as equally many tokens as
     * that allows. All ranks have the same steps; of a last one that is short, some may have no share.
     *
     * @param rank which of them, counted from 0
     * @param count how many there are
     * @throws IllegalArgumentException if there is no such rank, or the optimizer batch is too large
     */
    public BatchLoader ofRank(int rank, int count) {
        return new BatchLoader(
                units,
                microBatch,
                optimizerBatch / microBatch / ranks.ranks(),
                seed,
                collator,
                unitOrder,
                longest,
                new RankShares(rank, count));
    }

    private static List<List<EncodedExample>> alone(List<EncodedExample> examples) {
        return examples.stream().map(List::of).toList();
    }

    /**
     * The batch of the next optimizer step. After an epoch's last comes the next one's first.
     *
     * @throws dev.finetune4j.data.DatasetException if a row that was not in memory cannot be trained on, or all rows of an epoch are
     *     left out
     */
    public OptimizerBatch next() {
        List<List<EncodedExample>> dealt = deal();
        for (int turn = 0; dealt.isEmpty(); turn++) {
            if (turn == stepsPerEpoch()) {
                throw new DatasetException(DatasetProblem.ofFile(
                        "the data set", "all rows of an epoch have more tokens than the limit and are left out"));
            }
            dealt = deal();
        }
        List<List<Batch>> batches = new ArrayList<>();
        for (List<List<List<EncodedExample>>> share : ranks.of(dealt, microBatch)) {
            batches.add(share.stream()
                    .map(units -> collator.collate(together(units)))
                    .toList());
        }
        return new OptimizerBatch(batches, ranks.rank(), position);
    }

    /** The units of the next optimizer step that are not left out, each example by itself where they do not belong together. */
    private List<List<EncodedExample>> deal() {
        int start = position.next;
        int end = upTo((long) start + optimizerBatch);
        units.expect(order, start, end);
        // What comes after it is made ready while this step is computed.
        units.expect(order, end, upTo((long) end + optimizerBatch + AHEAD));
        List<List<EncodedExample>> dealt = new ArrayList<>(end - start);
        for (int i = start; i < end; i++) {
            List<EncodedExample> unit = units.get(order.applyAsInt(i));
            if (units.isSplittable()) {
                dealt.addAll(alone(unit));
            } else {
                dealt.add(unit);
            }
        }
        if (units.has(end)) {
            position = new Position(position.epoch, end);
        } else {
            seek(new Position(position.epoch + 1, 0));
        }
        return dealt;
    }

    /** A place of the epoch, or its end if that comes before. */
    private int upTo(long place) {
        return place <= Integer.MAX_VALUE && units.has((int) place - 1) ? (int) place : units.size();
    }

    private static List<EncodedExample> together(List<List<EncodedExample>> dealt) {
        List<EncodedExample> together = new ArrayList<>(dealt.size());
        dealt.forEach(together::addAll);
        return together;
    }

    private List<List<EncodedExample>> units(IntUnaryOperator epochOrder, int from, int to) {
        List<List<EncodedExample>> chosen = new ArrayList<>(to - from);
        for (int i = from; i < to; i++) {
            chosen.add(units.get(epochOrder.applyAsInt(i)));
        }
        return chosen;
    }

    /**
     * The most positions, B · T, that a micro-batch of the first epochs has on any rank; of more than {@value #LOOKED_THROUGH} epochs the
     * most that it can have, which is hardly more.
     *
     * @param epochs at least 1
     */
    public long largestBatch(int epochs) {
        if (!units.isInMemory()) {
            EncodedExample most = new EncodedExample(new int[longest], new int[longest]);
            return collator.positions(Collections.nCopies(microBatch, most));
        }
        long most = mostPositions();
        long largest = 0;
        for (int epoch = 0; epoch < epochs && largest < most; epoch++) {
            if (epoch == LOOKED_THROUGH) {
                return most;
            }
            IntUnaryOperator epochOrder = order(epoch);
            for (long start = 0; start < units.size(); start += optimizerBatch) {
                int end = (int) Math.min(start + optimizerBatch, units.size());
                for (List<List<List<EncodedExample>>> share :
                        ranks.of(units(epochOrder, (int) start, end), microBatch)) {
                    for (List<List<EncodedExample>> micro : share) {
                        largest = Math.max(largest, collator.positions(together(micro)));
                    }
                }
            }
        }
        return largest;
    }

    /** Positions of a micro-batch of the largest units, which chance may bring together. */
    private long mostPositions() {
        List<List<EncodedExample>> largest = IntStream.range(0, units.size())
                .mapToObj(units::get)
                .sorted(Comparator.comparing((List<EncodedExample> unit) -> -collator.positions(unit)))
                .limit(microBatch)
                .toList();
        return collator.positions(together(largest));
    }

    /** How many examples an epoch has; of rows that are encoded when they are needed, how many rows. */
    public int size() {
        return units.examples();
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
        if (!units.has(target.next())) {
            throw new IllegalArgumentException("next is " + target.next() + ", but an epoch has " + units.size()
                    + " examples or rows; a position belongs to the data it was taken with");
        }
        if (target.epoch() != position.epoch) {
            order = order(target.epoch());
        }
        units.forget();
        position = target;
    }

    private IntUnaryOperator order(int epoch) {
        if (unitOrder == Order.AS_GIVEN) {
            return place -> place; // without counting the units
        }
        int[] drawn = unitOrder == Order.SHUFFLED
                ? Permutation.of(units.size(), seed, epoch)
                : LengthGroups.order(lengths(), optimizerBatch, seed, epoch);
        return place -> drawn[place];
    }

    private int[] lengths() {
        int[] lengths = new int[units.size()];
        for (int i = 0; i < lengths.length; i++) {
            lengths[i] = units.get(i).get(0).longest();
        }
        return lengths;
    }
}
