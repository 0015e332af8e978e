package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class RowPackerTest {
    private static List<EncodedExample> examples(int... lengths) {
        return Arrays.stream(lengths)
                .mapToObj(length -> new EncodedExample(new int[length], new int[length]))
                .toList();
    }

    private static List<List<Integer>> packed(int tokens, int... lengths) {
        return RowPacker.pack(examples(lengths), tokens).stream()
                .map(row -> row.stream().map(EncodedExample::tokens).toList())
                .toList();
    }

    @Test
    void eachExampleGoesIntoTheRowThatItFillsUpBest() {
        // 6 leaves 4, 7 leaves 3: the 3 goes to the 7, and the 4 to the 6.
        assertEquals(List.of(List.of(6, 4), List.of(7, 3)), packed(10, 6, 7, 3, 4));
        assertEquals(List.of(List.of(10), List.of(1)), packed(10, 10, 1));
    }

    @Test
    void rowsAreFullAndLoseNothing() {
        int[] lengths = new SplittableRandom(3).ints(500, 20, 700).toArray();
        List<List<EncodedExample>> rows = RowPacker.pack(examples(lengths), 2048);
        List<Integer> seen = new ArrayList<>();
        for (List<EncodedExample> row : rows) {
            int tokens = row.stream().mapToInt(EncodedExample::tokens).sum();
            assertTrue(tokens <= 2048, tokens + " tokens");
            row.forEach(example -> seen.add(example.tokens()));
        }
        seen.sort(null);
        assertEquals(Arrays.stream(lengths).sorted().boxed().toList(), seen);
        assertTrue(rows.size() <= Math.ceil(1.02 * Arrays.stream(lengths).sum() / 2048), rows.size() + " rows");
    }

    @Test
    void whatIsLongerThanARowIsNamed() {
        String message = assertThrows(IllegalArgumentException.class, () -> packed(5, 3, 6))
                .getMessage();
        assertTrue(message.contains("example 1 has 6 tokens, but a packed row has 5"), message);
    }

    /** Best-fit decreasing, word by word; of rows with equal room the one that has had it longest. */
    private static List<List<Integer>> plainly(int tokens, int... lengths) {
        List<Integer> longestFirst =
                new ArrayList<>(IntStream.range(0, lengths.length).boxed().toList());
        longestFirst.sort(Comparator.comparingInt(i -> -lengths[i]));
        List<List<Integer>> rows = new ArrayList<>();
        List<Integer> byAge = new ArrayList<>();
        for (int example : longestFirst) {
            int best = -1;
            int least = Integer.MAX_VALUE;
            for (int row : byAge) {
                int room = tokens
                        - rows.get(row).stream().mapToInt(i -> lengths[i]).sum();
                if (room >= lengths[example] && room < least) {
                    best = row;
                    least = room;
                }
            }
            if (best < 0) {
                best = rows.size();
                rows.add(new ArrayList<>());
            }
            byAge.remove((Integer) best);
            rows.get(best).add(example);
            byAge.add(best);
        }
        rows.forEach(row -> row.sort(null));
        rows.sort(Comparator.comparingInt(row -> row.get(0)));
        return rows;
    }

    @Test
    void itIsBestFitDecreasing() {
        SplittableRandom random = new SplittableRandom(8);
        for (int round = 0; round < 200; round++) {
            int tokens = 1 + random.nextInt(60);
            int[] lengths = random.ints(random.nextInt(120), 1, tokens + 1).toArray();
            List<List<Integer>> found = Arrays.stream(RowPacker.pack(tokens, lengths))
                    .map(row -> Arrays.stream(row).boxed().toList())
                    .toList();
            assertEquals(plainly(tokens, lengths), found, "round " + round);
        }
    }
}
