package dev.finetune4j.data.batch;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Shares the units of an optimizer step out among the ranks that train together. The shares depend on the units alone, so each rank
 * knows those of the others.
 *
 * @param rank which one this is, counted from 0
 * @param ranks how many there are
 */
record RankShares(int rank, int ranks) {
    static final RankShares ALONE = new RankShares(0, 1);

    /** @throws IllegalArgumentException if there is no such rank */
    RankShares {
        if (rank < 0 || rank >= ranks) {
            throw new IllegalArgumentException(
                    "there is no rank " + rank + " of " + ranks + "; they are counted from 0");
        }
    }

    /**
     * The micro-batches of each rank. Each run of microBatch × ranks units becomes one of each; the units of a rank stay in their order.
     *
     * @param dealt the units of the step, in order
     * @param microBatch units that a rank has of a run
     */
    List<List<List<List<EncodedExample>>>> of(List<List<EncodedExample>> dealt, int microBatch) {
        List<List<List<List<EncodedExample>>>> shares = new ArrayList<>();
        IntStream.range(0, ranks).forEach(i -> shares.add(new ArrayList<>()));
        long[] tokens = new long[ranks];
        long run = (long) microBatch * ranks;
        for (long start = 0; start < dealt.size(); start += run) {
            List<List<EncodedExample>> units = dealt.subList((int) start, (int) Math.min(start + run, dealt.size()));
            int[] owner = owners(units, tokens);
            for (int i = 0; i < ranks; i++) {
                int wanted = i;
                List<List<EncodedExample>> own = IntStream.range(0, units.size())
                        .filter(unit -> owner[unit] == wanted)
                        .mapToObj(units::get)
                        .toList();
                if (!own.isEmpty()) {
                    shares.get(i).add(own);
                }
            }
        }
        return shares;
    }

    /**
     * The longest unit goes to the rank that has the fewest tokens so far, then the next, until a rank has its number of units.
     *
     * @param tokens of each rank before, to which those of these units are added
     */
    private int[] owners(List<List<EncodedExample>> units, long[] tokens) {
        int[] owner = new int[units.size()];
        int[] taken = new int[ranks];
        int whole = units.size() / ranks;
        int[] more = {units.size() % ranks};
        List<Integer> longestFirst = IntStream.range(0, units.size())
                .boxed()
                .sorted(Comparator.comparing((Integer unit) -> -tokens(units.get(unit))))
                .toList();
        for (int unit : longestFirst) {
            int chosen = IntStream.range(0, ranks)
                    .filter(i -> taken[i] < whole || (taken[i] == whole && more[0] > 0))
                    .boxed()
                    .min(Comparator.comparing(i -> tokens[i]))
                    .orElseThrow();
            if (taken[chosen]++ == whole) {
                more[0]--;
            }
            tokens[chosen] += tokens(units.get(unit));
            owner[unit] = chosen;
        }
        return owner;
    }

    private static long tokens(List<EncodedExample> unit) {
        return unit.stream().mapToLong(EncodedExample::tokens).sum();
    }
}
