package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.core.Labels;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Padding on the right: ids, labels and counts. */
class CollatorTest {
    private static final EncodedExample LONG = new EncodedExample(new int[] {5, 6, 7}, new int[] {-100, 7, -100});
    private static final EncodedExample SHORT = new EncodedExample(new int[] {8, 9}, new int[] {9, -100});

    @Test
    void shortRowsAreFilledOnTheRight() {
        Batch batch = new Collator(3, 1).collate(List.of(SHORT, LONG));
        assertEquals(2, batch.rows());
        assertEquals(3, batch.length());
        assertArrayEquals(new long[] {8, 9, 3, 5, 6, 7}, batch.inputIds());
        assertArrayEquals(new long[] {9, -100, -100, -100, 7, -100}, batch.labels());
        assertEquals(2, batch.targetTokens());
        assertEquals(5, batch.tokens());
    }

    @ParameterizedTest
    @CsvSource({"1,3", "2,4", "3,3", "4,4", "8,8"})
    void theLengthIsRoundedUp(int multiple, int length) {
        Batch batch = new Collator(0, multiple).collate(List.of(LONG));
        assertEquals(length, batch.length());
        assertEquals(length, batch.inputIds().length);
        assertEquals(3, batch.tokens());
        for (int i = 3; i < length; i++) {
            assertEquals(Labels.IGNORE, batch.labels()[i]);
        }
    }

    @Test
    void arguments() {
        assertThrows(IllegalArgumentException.class, () -> new Collator(-1, 1));
        assertThrows(IllegalArgumentException.class, () -> new Collator(0, 0));
        assertThrows(IllegalArgumentException.class, () -> new Collator(0, 1).collate(List.of()));
        assertThrows(
                IllegalArgumentException.class, () -> new Collator(0, Integer.MAX_VALUE).collate(List.of(LONG, SHORT)));
        assertThrows(IllegalArgumentException.class, () -> new Batch(2, 2, new long[4], new long[3], 0, 4));
    }
}
