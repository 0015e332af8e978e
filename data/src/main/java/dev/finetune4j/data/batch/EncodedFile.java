package dev.finetune4j.data.batch;

import dev.finetune4j.data.source.FileBytes;
import dev.finetune4j.data.source.Offsets;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.CheckedOutputStream;

/**
 * Encoded rows in a file, read by their number: behind a line that tells the form, their number, each behind its length, and a
 * checksum of all.
 *
 * <p>Thread-safe. The file may be deleted or replaced meanwhile, but not overwritten.
 */
final class EncodedFile {
    /** Another one whenever the same examples become other tokens, or the file has another form. */
    static final String VERSION = "finetune4j-encoded-2";

    /** What stands before the rows: the version behind its length, and their number. */
    private static final int HEADER = Short.BYTES + VERSION.length() + Integer.BYTES;

    private static final int BUFFER = 1 << 16;
    private static final int LARGEST = 1 << 28;

    private final FileBytes bytes;
    /** Where each row begins, and the last one ends. */
    private final Offsets offsets;
    /** The first example of each row, and how many there are in all. */
    private final int[] firsts;
    /** How many tokens each example has. */
    private final int[] lengths;

    /**
     * Opens one after it was checked as a whole.
     *
     * @param rows how many it should have
     * @throws IOException if it cannot be read, is damaged or holds something else
     */
    EncodedFile(Path file, int rows) throws IOException {
        bytes = new FileBytes(file);
        offsets = new Offsets();
        firsts = new int[rows + 1];
        int[] found = new int[rows];
        try (CheckedInputStream checked = new CheckedInputStream(
                        new BufferedInputStream(Files.newInputStream(file), BUFFER), new CRC32());
                DataInputStream in = new DataInputStream(checked)) {
            if (!in.readUTF().equals(VERSION) || in.readInt() != rows) {
                throw new IOException("it holds something else");
            }
            long at = HEADER;
            for (int i = 0; i < rows; i++) {
                offsets.add(at);
                byte[] row = row(in);
                int[] examples = RowForm.lengths(ByteBuffer.wrap(row));
                firsts[i + 1] = firsts[i] + examples.length;
                if (firsts[i + 1] > found.length) {
                    found = Arrays.copyOf(found, 2 * firsts[i + 1]);
                }
                System.arraycopy(examples, 0, found, firsts[i], examples.length);
                at += Integer.BYTES + row.length;
            }
            offsets.add(at);
            long sum = checked.getChecksum().getValue();
            if (in.readLong() != sum || in.read() >= 0) {
                throw new IOException("its checksum is another");
            }
        } catch (RuntimeException e) {
            throw new IOException("it is damaged", e);
        }
        lengths = Arrays.copyOf(found, firsts[rows]);
    }

    private static byte[] row(DataInputStream in) throws IOException {
        int size = in.readInt();
        if (size < 0 || size > LARGEST) {
            throw new IOException("it holds a size of " + size);
        }
        byte[] row = in.readNBytes(size);
        if (row.length < size) {
            throw new IOException("it is cut off");
        }
        return row;
    }

    int size() {
        return firsts.length - 1;
    }

    /** A row. */
    EncodedRow row(int index) throws IOException {
        byte[] row = bytes.bytes(offsets.get(index) + Integer.BYTES, offsets.get(index + 1));
        try {
            return RowForm.read(ByteBuffer.wrap(row));
        } catch (RuntimeException e) {
            throw new IOException("it was overwritten", e);
        }
    }

    /** How many tokens each example has, of all rows in order. */
    int[] lengths() {
        return lengths.clone();
    }

    /**
     * An example.
     *
     * @param index of all of them, as in {@link #lengths}
     */
    EncodedExample example(int index) throws IOException {
        int found = Arrays.binarySearch(firsts, index);
        int row = found >= 0 ? found : -found - 2;
        // Rows without examples begin where the next one does.
        while (firsts[row + 1] == firsts[row]) {
            row++;
        }
        return row(row).examples().get(index - firsts[row]);
    }

    /** Writes rows into a file, which is complete once {@link #finish} was called. */
    static final class Writer implements AutoCloseable {
        private final CheckedOutputStream checked;
        private final DataOutputStream out;
        private final RowForm form = new RowForm();

        /** @param rows how many will be written */
        Writer(Path file, int rows) throws IOException {
            checked =
                    new CheckedOutputStream(new BufferedOutputStream(Files.newOutputStream(file), BUFFER), new CRC32());
            out = new DataOutputStream(checked);
            out.writeUTF(VERSION);
            out.writeInt(rows);
        }

        void add(EncodedRow row) throws IOException {
            byte[] written = form.write(row);
            out.writeInt(written.length);
            out.write(written);
        }

        void finish() throws IOException {
            out.writeLong(checked.getChecksum().getValue());
            out.flush();
        }

        @Override
        public void close() throws IOException {
            out.close();
        }
    }
}
