package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
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
}
