package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.Labels;
import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Padded and packed batches: ids, labels, counts, and which sequences belong together. */
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
    }

    @Test
    void packedSequencesLieBehindOneAnother() {
        Batch batch = new Collator(3, new Collator.Multiple(4), Collator.Layout.PACKED).collate(List.of(SHORT, LONG));
        assertEquals(1, batch.rows());
        assertEquals(8, batch.length());
        assertArrayEquals(new long[] {8, 9, 5, 6, 7, 3, 3, 3}, batch.inputIds());
        assertArrayEquals(new long[] {9, -100, -100, 7, -100, -100, -100, -100}, batch.labels());
        assertArrayEquals(new long[] {2, 3, 3}, batch.packedLengths());
        assertTrue(batch.isPacked());
        assertEquals(2, batch.targetTokens());
        assertEquals(5, batch.tokens());
        Batch full = new Collator(3, new Collator.Multiple(1), Collator.Layout.PACKED).collate(List.of(SHORT, LONG));
        assertArrayEquals(new long[] {2, 3}, full.packedLengths());
        assertThrows(
                IllegalStateException.class,
                () -> new Collator(3, 1).collate(List.of(SHORT, LONG)).packedLengths());
    }

    @Test
    void fewSizesAreRoundedUpToAndNeverBeyondRowsSideBySide() {
        Collator.Rounding sizes = new Collator.FewSizes();
        assertEquals(3136, sizes.length(3133, 8 * 1429));
        assertEquals(3072, sizes.length(3072, 8 * 1429));
        assertEquals(64, sizes.length(5, 6));
        // Three rows of 700: the next size would be 2,112.
        assertEquals(2100, sizes.length(2100, 2100));
        assertEquals(16384, sizes.length(16384, 16384));
        assertEquals(
                64, // between 2,048 and 8,192
                LongStream.rangeClosed(2049, 8192)
                        .map(needed -> sizes.length(needed, Long.MAX_VALUE))
                        .distinct()
                        .count());
    }

    @Test
    void paddedRowsAreRoundedToSizesThatMayBeCloser() {
        Batch batch = new Collator(0, new Collator.FewSizes(16), Collator.Layout.PADDED).collate(List.of(SHORT, LONG));
        assertEquals(16, batch.length());
        assertEquals(2, batch.rows());
        assertEquals(400, new Collator.FewSizes(16).length(400, Long.MAX_VALUE));
        assertThrows(IllegalArgumentException.class, () -> new Collator.FewSizes(0));
    }

    @Test
    void positionsAreThoseOfTheBatch() {
        for (Collator.Layout layout : Collator.Layout.values()) {
            Collator collator = new Collator(0, new Collator.Multiple(4), layout);
            Batch batch = collator.collate(List.of(SHORT, LONG, LONG));
            assertEquals(batch.inputIds().length, collator.positions(List.of(SHORT, LONG, LONG)));
        }
    }

    @ParameterizedTest
    @EnumSource(Collator.Layout.class)
    void theSequencesOfAPairStayTogether(Collator.Layout layout) {
        EncodedExample pair = new EncodedExample(List.of(
                new EncodedSequence(new int[] {1, 2}, new int[] {2, -100}, EncodedSequence.Kind.CHOSEN),
                new EncodedSequence(new int[] {1, 3, 4}, new int[] {3, 4, -100}, EncodedSequence.Kind.REJECTED)));
        Batch batch = new Collator(0, new Collator.Multiple(1), layout).collate(List.of(LONG, pair));
        assertEquals(layout != Collator.Layout.PADDED, batch.isPacked());
        assertEquals(2, batch.examples());
        assertEquals(
                List.of(0, 1, 1),
                batch.sequences().stream().map(Batch.Sequence::example).toList());
        assertEquals(
                List.of(EncodedSequence.Kind.TARGET, EncodedSequence.Kind.CHOSEN, EncodedSequence.Kind.REJECTED),
                batch.sequences().stream()
                        .map(sequence -> sequence.tokens().kind())
                        .toList());
        for (Batch.Sequence sequence : batch.sequences()) {
            for (int i = 0; i < sequence.tokens().length(); i++) {
                assertEquals(sequence.tokens().inputIds()[i], batch.inputIds()[sequence.start() + i]);
                assertEquals(sequence.tokens().labels()[i], batch.labels()[sequence.start() + i]);
            }
        }
    }

    @Test
    void sequencesMayNotLieOverOneAnother() {
        EncodedSequence two = SHORT.sequences().get(0);
        List<Batch.Sequence> over = List.of(new Batch.Sequence(two, 0, 0), new Batch.Sequence(two, 1, 1));
        assertThrows(IllegalArgumentException.class, () -> new Batch(1, 4, 0, over));
        List<Batch.Sequence> acrossRows = List.of(new Batch.Sequence(two, 0, 2));
        assertThrows(IllegalArgumentException.class, () -> new Batch(2, 3, 0, acrossRows));
        List<Batch.Sequence> outside = List.of(new Batch.Sequence(two, 0, 4));
        assertThrows(IllegalArgumentException.class, () -> new Batch(2, 2, 0, outside));
        List<Batch.Sequence> apart = List.of(new Batch.Sequence(two, 1, 0), new Batch.Sequence(two, 0, 2));
        assertThrows(IllegalArgumentException.class, () -> new Batch(2, 2, 0, apart));
        assertThrows(IllegalArgumentException.class, () -> new Batch(1, 1, 0, List.of()));
    }

    private static EncodedSequence answer(EncodedSequence.Kind kind, int prompt, int... ids) {
        int[] labels = new int[ids.length];
        Arrays.fill(labels, Labels.IGNORE);
        System.arraycopy(ids, prompt, labels, prompt - 1, ids.length - prompt);
        return new EncodedSequence(ids, labels, kind);
    }

    private static EncodedExample pair(int prompt, int[] chosen, int[] rejected) {
        return new EncodedExample(List.of(
                answer(EncodedSequence.Kind.CHOSEN, prompt, chosen),
                answer(EncodedSequence.Kind.REJECTED, prompt, rejected)));
    }

    /** The last token of the prompt predicts the first one of an answer, so that each answer has it for itself. */
    @Test
    void aPromptOfTwoAnswersStandsThereOnceIfItIsShared() {
        EncodedExample first = pair(3, new int[] {5, 6, 7, 1, 2}, new int[] {5, 6, 7, 1, 3, 4});
        EncodedExample second = pair(1, new int[] {8, 1}, new int[] {8, 2});
        EncodedExample different = pair(3, new int[] {5, 6, 7, 1}, new int[] {5, 9, 7, 2});
        Collator collator = new Collator(0, new Collator.Multiple(4), Collator.Layout.SHARED);
        Batch batch = collator.collate(List.of(first, second, different));
        assertArrayEquals(new long[] {5, 6, 7, 1, 2, 7, 1, 3, 4, 8, 1, 8, 2, 5, 6, 7, 1, 9, 7, 2}, batch.inputIds());
        long no = Labels.IGNORE;
        assertArrayEquals(
                new long[] {no, no, 1, 2, no, 1, 3, 4, no, 1, no, 2, no, no, no, 1, no, no, 2, no}, batch.labels());
        assertArrayEquals(new long[] {5, 4, 2, 2, 4, 3}, batch.packedLengths());
        assertEquals(5 + 6 + 2 + 2 + 4 + 4, batch.tokens());
        assertEquals(20, collator.positions(List.of(first, second, different)));
        assertTrue(batch.isShared());
        Collator packed = new Collator(0, new Collator.Multiple(4), Collator.Layout.PACKED);
        assertFalse(packed.collate(List.of(first)).isShared());
        assertEquals(24, packed.positions(List.of(first, second, different)));
    }

    @Test
    void whatIsSharedHasToStandInTheFirstSequenceOfTheExample() {
        EncodedSequence chosen = answer(EncodedSequence.Kind.CHOSEN, 2, 5, 6, 7);
        EncodedSequence other = answer(EncodedSequence.Kind.REJECTED, 2, 5, 9, 7);
        Batch.Sequence first = new Batch.Sequence(chosen, 0, 0);
        assertThrows(
                IllegalArgumentException.class,
                () -> new Batch.Sequence(other, 0, 3, 2),
                "its second token has a target");
        assertEquals(1, new Batch(1, 5, 0, List.of(first, new Batch.Sequence(other, 0, 3, 1))).examples());
        List<List<Batch.Sequence>> wrong = List.of(
                List.of(first, new Batch.Sequence(answer(EncodedSequence.Kind.REJECTED, 2, 4, 6), 0, 3, 1)),
                List.of(first, new Batch.Sequence(other, 1, 3, 1)),
                List.of(new Batch.Sequence(chosen, 0, 0, 1)));
        for (List<Batch.Sequence> sequences : wrong) {
            assertThrows(IllegalArgumentException.class, () -> new Batch(1, 8, 0, sequences));
        }
    }
}
