package dev.finetune4j.data;

import dev.finetune4j.data.batch.Permutation;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Chooses which examples of a data set are held out, so that those that say the same stay together. Stateless. */
final class HeldOut {
    private HeldOut() {}

    /** For each example the first one that says the same. */
    static int[] firstAlike(List<Example> examples) {
        Map<List<String>, Integer> seen = new HashMap<>();
        int[] first = new int[examples.size()];
        for (int i = 0; i < first.length; i++) {
            Integer earlier = seen.putIfAbsent(examples.get(i).texts(), i);
            first[i] = earlier == null ? i : earlier;
        }
        return first;
    }

    /**
     * The examples to hold out, each by the first one that says the same.
     *
     * @param first for each example that one, which stands for all of them
     * @throws IllegalArgumentException if all say the same
     */
    static BitSet choose(int[] first, double fraction, long seed) {
        int size = first.length;
        int wanted = (int) Math.min(size - 1L, Math.max(1, Math.round(fraction * size)));
        int[] alike = new int[size];
        for (int same : first) {
            alike[same]++;
        }
        BitSet held = new BitSet(size);
        int count = 0;
        for (int index : Permutation.of(size, seed, 0)) {
            if (count >= wanted) {
                break;
            }
            // All but one group may go.
            if (first[index] == index && count + alike[index] < size) {
                held.set(index);
                count += alike[index];
            }
        }
        if (count == 0) {
            throw new IllegalArgumentException(
                    "all " + size + " examples say the same, so none can be held out; add others");
        }
        return held;
    }
}
