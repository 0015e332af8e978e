package dev.finetune4j.data.batch;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Packs examples into rows of a budget of tokens by best-fit decreasing
 * (<a href="https://arxiv.org/abs/2404.10830">Ding et al. 2024</a>): the longest example first, each into the row that it fills
 * up best. No example is cut, and attention keeps those of a row apart.
 */
public final class RowPacker {
    private RowPacker() {}

    /**
     * The same of rows in which every sequence has all of its tokens.
     *
     * @param tokens budget of a row
     * @throws IllegalArgumentException if an example has more tokens than a row
     */
    public static List<List<EncodedExample>> pack(List<EncodedExample> examples, int tokens) {
        return pack(examples, tokens, Collator.Layout.PACKED);
    }

    /**
     * The rows, in the order of the first example of each; within a row the order of the list.
     *
     * @param tokens budget of a row
     * @param layout of the rows
     * @throws IllegalArgumentException if an example has more tokens than a row
     */
    public static List<List<EncodedExample>> pack(List<EncodedExample> examples, int tokens, Collator.Layout layout) {
        int[] lengths =
                examples.stream().mapToInt(example -> example.positions(layout)).toArray();
        List<Integer> longestFirst = new ArrayList<>();
        for (int i = 0; i < examples.size(); i++) {
            if (lengths[i] > tokens) {
                throw new IllegalArgumentException("example " + i + " has " + lengths[i]
                        + " tokens, but a packed row has " + tokens + "; cut or skip longer ones before");
            }
            longestFirst.add(i);
        }
        longestFirst.sort(Comparator.comparingInt(i -> -lengths[i]));
        TreeMap<Integer, Deque<List<Integer>>> byRoom = new TreeMap<>();
        List<List<Integer>> rows = new ArrayList<>();
        for (int example : longestFirst) {
            int length = lengths[example];
            Map.Entry<Integer, Deque<List<Integer>>> best = byRoom.ceilingEntry(length);
            int room = best == null ? tokens : best.getKey();
            List<Integer> row =
                    best == null ? new ArrayList<>() : best.getValue().remove();
            if (best == null) {
                rows.add(row);
            } else if (best.getValue().isEmpty()) {
                byRoom.remove(room);
            }
            row.add(example);
            byRoom.computeIfAbsent(room - length, key -> new ArrayDeque<>()).add(row);
        }
        rows.forEach(row -> row.sort(Comparator.naturalOrder()));
        rows.sort(Comparator.comparingInt(row -> row.get(0)));
        return rows.stream()
                .map(row -> row.stream().map(examples::get).toList())
                .toList();
    }
}
