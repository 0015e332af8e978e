package dev.finetune4j.data.batch;

import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Rows that were encoded into a file beforehand, or rows that their examples are packed into. */
final class StoredUnits implements Units {
    private final EncodedFile file;
    private final Path name;

    /** @param name of the file, for errors */
    StoredUnits(EncodedFile file, Path name) {
        this.file = file;
        this.name = name;
    }

    @Override
    public int size() {
        return file.size();
    }

    @Override
    public int examples() {
        return file.lengths().length;
    }

    @Override
    public boolean isInMemory() {
        return false;
    }

    @Override
    public boolean isSplittable() {
        return true;
    }

    @Override
    public List<EncodedExample> get(int unit) {
        return row(unit).examples();
    }

    /** What became of a row. */
    EncodedRow row(int unit) {
        return read(() -> file.row(unit));
    }

    /** Something of the file. */
    private interface Reading<T> {
        T read() throws IOException;
    }

    private <T> T read(Reading<T> reading) {
        try {
            return reading.read();
        } catch (IOException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(
                            name.toString(), "holds encoded rows that cannot be read: " + e + "; start anew"),
                    e);
        }
    }

    /** The rows that {@link RowPacker} makes of them, whose examples are read when they are needed. */
    Units packed(int tokens) {
        int[][] rows = RowPacker.pack(tokens, file.lengths());
        return new Units() {
            @Override
            public int size() {
                return rows.length;
            }

            @Override
            public int examples() {
                return StoredUnits.this.examples();
            }

            @Override
            public boolean isInMemory() {
                return false;
            }

            @Override
            public List<EncodedExample> get(int unit) {
                List<EncodedExample> examples = new ArrayList<>(rows[unit].length);
                for (int example : rows[unit]) {
                    examples.add(read(() -> file.example(example)));
                }
                return examples;
            }
        };
    }
}
