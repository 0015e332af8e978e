package dev.finetune4j.data.batch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.Labels;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RowFormTest {
    private static final List<Kind> KINDS = List.of(Kind.values());

    @TempDir
    private Path folder;

    /** Mostly as an encoder makes it; sometimes with labels of another kind, numbers of any size and sequences of one token. */
    private static EncodedSequence sequence(Random random) {
        int length = 1 + random.nextInt(random.nextInt(4) == 0 ? 3000 : 12);
        boolean odd = random.nextInt(5) == 0;
        int[] ids = random.ints(length, 0, odd ? Integer.MAX_VALUE : 150_000).toArray();
        int[] labels = new int[length];
        Arrays.fill(labels, Labels.IGNORE);
        for (int i = 0; i + 1 < length; i++) {
            labels[i] = random.nextInt(3) == 0 ? Labels.IGNORE : ids[i + 1];
        }
        if (odd) {
            labels[random.nextInt(length)] = random.nextInt();
        }
        float[] weights = null;
        if (random.nextInt(3) == 0) {
            weights = new float[length];
            for (int i = 0; i < length; i++) {
                weights[i] = i == 0 || random.nextInt(8) == 0 ? random.nextFloat() : weights[i - 1];
            }
        }
        return new EncodedSequence(ids, labels, weights, KINDS.get(random.nextInt(KINDS.size())));
    }

    private static EncodedRow row(Random random) {
        List<EncodedExample> examples = new ArrayList<>();
        for (int i = random.nextInt(4); i > 0; i--) {
            examples.add(new EncodedExample(
                    random.nextBoolean() ? List.of(sequence(random)) : List.of(sequence(random), sequence(random))));
        }
        return new EncodedRow(examples, random.nextBoolean(), random.nextInt(3) * random.nextInt(1 << 20), null, null);
    }

    private static void assertSame(EncodedRow expected, EncodedRow found) {
        assertEquals(expected.truncated(), found.truncated());
        assertEquals(expected.tooLong(), found.tooLong());
        assertEquals(expected.examples().size(), found.examples().size());
        for (int i = 0; i < expected.examples().size(); i++) {
            assertSame(expected.examples().get(i), found.examples().get(i));
        }
    }

    private static void assertSame(EncodedExample expected, EncodedExample found) {
        assertEquals(expected.sequences().size(), found.sequences().size());
        for (int i = 0; i < expected.sequences().size(); i++) {
            EncodedSequence one = expected.sequences().get(i);
            EncodedSequence other = found.sequences().get(i);
            assertArrayEquals(one.inputIds(), other.inputIds());
            assertArrayEquals(one.labels(), other.labels());
            assertArrayEquals(one.weights(), other.weights());
            assertEquals(one.kind(), other.kind());
        }
    }

    @Test
    void rowsAndExamplesOfAFileAreThoseThatWereWritten() throws IOException {
        Random random = new Random(4);
        List<EncodedRow> rows = new ArrayList<>();
        for (int i = 0; i < 300; i++) {
            rows.add(row(random));
        }
        Path path = folder.resolve("rows");
        try (EncodedFile.Writer writer = new EncodedFile.Writer(path, rows.size())) {
            for (EncodedRow row : rows) {
                writer.add(row);
            }
            writer.finish();
        }
        EncodedFile file = new EncodedFile(path, rows.size());
        List<EncodedExample> examples = new ArrayList<>();
        for (int i = 0; i < rows.size(); i++) {
            assertSame(rows.get(i), file.row(i));
            examples.addAll(rows.get(i).examples());
        }
        assertArrayEquals(examples.stream().mapToInt(EncodedExample::tokens).toArray(), file.lengths());
        for (int i = 0; i < examples.size(); i++) {
            assertSame(examples.get(i), file.example(i));
        }
        assertThrows(IOException.class, () -> new EncodedFile(path, rows.size() - 1));
        Files.write(path, Arrays.copyOf(Files.readAllBytes(path), (int) Files.size(path) - 1));
        assertThrows(IOException.class, () -> new EncodedFile(path, rows.size()));
    }

    /** It ends with an exception of whatever kind; what still is a row is found by the checksum. */
    @Test
    void damageIsSoonFound() {
        Random random = new Random(5);
        RowForm form = new RowForm();
        int refused = 0;
        for (int i = 0; i < 2000; i++) {
            byte[] bytes = form.write(row(random));
            bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
            try {
                RowForm.read(ByteBuffer.wrap(bytes));
            } catch (RuntimeException e) {
                refused++;
            }
        }
        assertTrue(refused > 200, refused + " of 2000");
    }
}
