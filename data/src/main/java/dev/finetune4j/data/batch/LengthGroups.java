package dev.finetune4j.data.batch;

import java.util.Arrays;
import java.util.Comparator;

/** Orders in which examples of nearly the same length are neighbours and everything else is left to chance. */
final class LengthGroups {
    /** Optimizer batches that are sorted together: more pad less, fewer leave more to chance. */
    private static final int MAX_BATCHES = 50;
    /** Of a small data set, so many groups. */
    private static final int MIN_GROUPS = 4;

    private LengthGroups() {}

    /**
     * The order of an epoch. Each batch is of neighbours of a shuffled group that was sorted by length, and the batches come in
     * an order drawn by chance; the examples that do not fill a batch come last.
     *
     * @param lengths of the examples
     * @param batch examples of an optimizer batch
     * @param seed and the epoch decide
     */
    static int[] order(int[] lengths, int batch, long seed, int epoch) {
        int[] shuffled = Permutation.of(lengths.length, seed, epoch);
        int batches = lengths.length / batch;
        int group = Math.max(1, Math.min(MAX_BATCHES, batches / MIN_GROUPS)) * batch;
        int[] sorted = shuffled.clone();
        for (int start = 0; start < batches * batch; start += group) {
            sort(sorted, start, Math.min(start + group, batches * batch), lengths);
        }
        // No epoch has a negative number, so this order is drawn apart from theirs.
        int[] turns = Permutation.of(batches, seed, -1L - epoch);
        int[] order = shuffled;
        for (int i = 0; i < batches; i++) {
            System.arraycopy(sorted, turns[i] * batch, order, i * batch, batch);
        }
        return order;
    }

    private static void sort(int[] order, int from, int to, int[] lengths) {
        Integer[] part = Arrays.stream(order, from, to).boxed().toArray(Integer[]::new);
        Arrays.sort(part, Comparator.comparingInt(example -> lengths[example]));
        for (int i = from; i < to; i++) {
            order[i] = part[i - from];
        }
    }
}
