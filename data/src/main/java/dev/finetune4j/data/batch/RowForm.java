package dev.finetune4j.data.batch;

import dev.finetune4j.core.Labels;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The bytes of an {@link EncodedRow} that has no problem: numbers of seven bits a byte, the lengths of its examples before
 * their contents. Labels that are the ids which follow are stretches of learned and other positions, and so are weights of as much. Reused; not thread-safe.
 */
final class RowForm {
    /** Each is written as its place here, so this order stays. */
    private static final List<Kind> KINDS =
            List.of(Kind.TARGET, Kind.CHOSEN, Kind.REJECTED, Kind.DESIRABLE, Kind.UNDESIRABLE, Kind.MISMATCHED);

    private static final int FIRST = 1 << 12;
    private static final int MORE = 0x80;
    private static final int SHIFTED = 1;
    private static final int WEIGHTED = 2;

    private byte[] bytes = new byte[FIRST];
    private int size;

    /** The bytes of a row. */
    byte[] write(EncodedRow row) {
        size = 0;
        put(row.truncated() ? 1 : 0);
        put(row.tooLong());
        put(row.examples().size());
        row.examples().forEach(example -> put(example.tokens()));
        for (EncodedExample example : row.examples()) {
            put(example.sequences().size());
            example.sequences().forEach(this::put);
        }
        return Arrays.copyOf(bytes, size);
    }

    private void put(EncodedSequence sequence) {
        put(KINDS.indexOf(sequence.kind()));
        put(sequence.length());
        for (int id : sequence.inputIds()) {
            put(id);
        }
        boolean shifted = isShifted(sequence);
        float[] weights = sequence.weights();
        put((shifted ? SHIFTED : 0) | (weights == null ? 0 : WEIGHTED));
        if (shifted) {
            putStretches(sequence.labels());
        } else {
            for (int label : sequence.labels()) {
                put(label);
            }
        }
        if (weights != null) {
            putRuns(weights);
        }
    }

    private void putRuns(float... weights) {
        for (int start = 0; start < weights.length; ) {
            int end = start;
            while (end < weights.length && weights[end] == weights[start]) {
                end++;
            }
            put(end - start);
            put(Float.floatToIntBits(weights[start]));
            start = end;
        }
    }

    private void putStretches(int... labels) {
        boolean learned = false;
        for (int start = 0; start < labels.length; learned = !learned) {
            int end = start;
            while (end < labels.length && (labels[end] != Labels.IGNORE) == learned) {
                end++;
            }
            put(end - start);
            start = end;
        }
    }

    private static boolean isShifted(EncodedSequence sequence) {
        int[] labels = sequence.labels();
        for (int i = 0; i < labels.length; i++) {
            if (labels[i] != Labels.IGNORE && (i + 1 == labels.length || labels[i] != sequence.inputIds()[i + 1])) {
                return false;
            }
        }
        return true;
    }

    private void put(int value) {
        if (size + 5 > bytes.length) {
            bytes = Arrays.copyOf(bytes, 2 * bytes.length);
        }
        int left = value;
        while ((left & -MORE) != 0) {
            bytes[size++] = (byte) (left | MORE);
            left >>>= 7;
        }
        bytes[size++] = (byte) left;
    }

    /** The lengths of the examples of a row. */
    static int[] lengths(ByteBuffer row) {
        get(row);
        get(row);
        int[] lengths = new int[size(row)];
        Arrays.setAll(lengths, i -> get(row));
        return lengths;
    }

    /**
     * A row that was written.
     *
     * @throws RuntimeException if it is damaged
     */
    static EncodedRow read(ByteBuffer row) {
        boolean truncated = get(row) != 0;
        int tooLong = get(row);
        int count = size(row);
        for (int i = 0; i < count; i++) {
            get(row);
        }
        List<EncodedExample> examples = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            List<EncodedSequence> sequences = new ArrayList<>();
            for (int left = size(row); left > 0; left--) {
                sequences.add(sequence(row));
            }
            examples.add(new EncodedExample(sequences));
        }
        return new EncodedRow(examples, truncated, tooLong, null, null);
    }

    private static EncodedSequence sequence(ByteBuffer row) {
        Kind kind = KINDS.get(get(row));
        int[] ids = new int[size(row)];
        Arrays.setAll(ids, i -> get(row));
        int[] labels = new int[ids.length];
        int form = get(row);
        if ((form & SHIFTED) == 0) {
            Arrays.setAll(labels, i -> get(row));
        } else {
            readStretches(row, ids, labels);
        }
        return new EncodedSequence(ids, labels, (form & WEIGHTED) == 0 ? null : runs(row, ids.length), kind);
    }

    private static float[] runs(ByteBuffer row, int count) {
        float[] weights = new float[count];
        for (int start = 0; start < count; ) {
            int end = Math.addExact(start, get(row));
            if (end <= start) {
                throw new IllegalArgumentException("it holds a stretch of weights up to " + end);
            }
            Arrays.fill(weights, start, end, Float.intBitsToFloat(get(row)));
            start = end;
        }
        return weights;
    }

    private static void readStretches(ByteBuffer row, int[] ids, int[] labels) {
        boolean learned = false;
        for (int start = 0; start < labels.length; learned = !learned) {
            int end = Math.addExact(start, get(row));
            for (int i = start; i < end; i++) {
                labels[i] = learned ? ids[i + 1] : Labels.IGNORE;
            }
            start = end;
        }
    }

    /** A number of things that take a byte each at least. */
    private static int size(ByteBuffer row) {
        int size = get(row);
        if (size < 0 || size > row.remaining()) {
            throw new IllegalArgumentException("it holds a size of " + size);
        }
        return size;
    }

    private static int get(ByteBuffer row) {
        int value = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = row.get();
            value |= (next & (MORE - 1)) << shift;
            if (next >= 0) {
                return value;
            }
        }
    }
}
