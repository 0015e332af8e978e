package dev.finetune4j.data.batch;

import java.util.Arrays;
import java.util.BitSet;
import java.util.List;

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
        return Arrays.stream(pack(tokens, lengths))
                .map(row -> Arrays.stream(row).mapToObj(examples::get).toList())
                .toList();
    }

    /**
     * The same of lengths: the indices of the examples of each row.
     *
     * @throws IllegalArgumentException if an example has more tokens than a row
     */
    static int[][] pack(int tokens, int... lengths) {
        int[] longestFirst = longestFirst(tokens, lengths);
        int[] rowOf = new int[lengths.length];
        RowsByRoom byRoom = new RowsByRoom(tokens);
        int rows = 0;
        for (int example : longestFirst) {
            int room = byRoom.least(lengths[example]);
            int row = room < 0 ? rows++ : byRoom.take(room);
            rowOf[example] = row;
            byRoom.add(row, (room < 0 ? tokens : room) - lengths[example]);
        }
        return collected(rowOf, rows);
    }

    /** The order of falling lengths, in which equal ones stay as they were. */
    private static int[] longestFirst(int tokens, int... lengths) {
        int[] starts = new int[tokens + 2];
        for (int i = 0; i < lengths.length; i++) {
            if (lengths[i] > tokens) {
                throw new IllegalArgumentException("example " + i + " has " + lengths[i]
                        + " tokens, but a packed row has " + tokens + "; cut or skip longer ones before");
            }
            starts[tokens - lengths[i] + 1]++;
        }
        for (int i = 1; i < starts.length; i++) {
            starts[i] += starts[i - 1];
        }
        int[] order = new int[lengths.length];
        for (int i = 0; i < lengths.length; i++) {
            order[starts[tokens - lengths[i]]++] = i;
        }
        return order;
    }

    /** The examples of each row in order, the rows in the order of their first ones. */
    private static int[][] collected(int[] rowOf, int count) {
        int[] sizes = new int[count];
        for (int row : rowOf) {
            sizes[row]++;
        }
        int[][] rows = new int[count][];
        int[] places = new int[count];
        int[] filled = new int[count];
        int found = 0;
        for (int example = 0; example < rowOf.length; example++) {
            int row = rowOf[example];
            if (filled[row] == 0) {
                places[row] = found;
                rows[found++] = new int[sizes[row]];
            }
            rows[places[row]][filled[row]++] = example;
        }
        return rows;
    }

    /** Rows that are not full, by the tokens that they have room for; of equal ones the first that was added comes first. */
    private static final class RowsByRoom {
        private final BitSet rooms = new BitSet();
        private final int[] heads;
        private final int[] tails;
        /** What follows each row in the queue of its room. */
        private int[] next = new int[64];

        RowsByRoom(int tokens) {
            heads = new int[tokens + 1];
            tails = new int[tokens + 1];
        }

        /** The least room that is enough; -1 if there is none. */
        int least(int length) {
            return rooms.nextSetBit(length);
        }

        int take(int room) {
            int row = heads[room];
            if (row == tails[room]) {
                rooms.clear(room);
            }
            heads[room] = next[row];
            return row;
        }

        void add(int row, int room) {
            if (row >= next.length) {
                next = Arrays.copyOf(next, 2 * row);
            }
            if (rooms.get(room)) {
                next[tails[room]] = row;
            } else {
                heads[room] = row;
                rooms.set(room);
            }
            tails[room] = row;
        }
    }
}
