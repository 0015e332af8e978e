package dev.finetune4j.data.batch;

import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.DatasetException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/** A data set ready for {@link BatchLoader}: in memory, encoded into a file, or encoded row by row as the loader needs it. */
public final class EncodedDataset {
    /** Of rows that are not in memory, so many are looked at to tell data sets apart. */
    private static final int LAZY_SAMPLE = 256;

    private final @Nullable List<EncodedExample> examples;
    private final Units units;
    private final IntFunction<DataReport> looked;
    /** What was encoded since; guarded by itself. */
    private final @Nullable ReportBuilder counts;

    private final int longest;
    private volatile @Nullable DataReport report;

    private EncodedDataset(
            @Nullable List<EncodedExample> examples,
            Units units,
            IntFunction<DataReport> looked,
            @Nullable ReportBuilder counts,
            int longest) {
        this.counts = counts;
        this.examples = examples;
        this.units = units;
        this.looked = looked;
        this.longest = longest;
    }

    /** One in memory. */
    static EncodedDataset of(List<EncodedExample> examples, DataReport report) {
        List<EncodedExample> copy = List.copyOf(examples);
        return new EncodedDataset(
                copy, Units.of(copy.stream().map(List::of).toList()), all -> report, null, report.longest());
    }

    /**
     * @param looked gives the report of the rows that were looked at beforehand, for the number of all rows
     * @param counts what is encoded from now on
     * @param longest tokens that an example may have
     */
    static EncodedDataset lazily(Units units, IntFunction<DataReport> looked, ReportBuilder counts, int longest) {
        return new EncodedDataset(null, units, looked, counts, longest);
    }

    /**
     * One whose rows were encoded into a file.
     *
     * @param report of all rows
     */
    static EncodedDataset stored(StoredUnits units, DataReport report) {
        return new EncodedDataset(null, units, all -> report, null, report.longest());
    }

    /** The rows that the examples are packed into. */
    Units packed(int tokens, Collator.Layout layout) {
        if (examples != null) {
            return Units.of(RowPacker.pack(examples, tokens, layout));
        }
        if (units instanceof StoredUnits stored) {
            return stored.packed(tokens);
        }
        throw new IllegalStateException("packing needs the lengths of all rows; encode them beforehand");
    }

    /** Whether rows are not in memory: they are encoded when they are needed, or were encoded into a file. */
    public boolean isLazy() {
        return examples == null;
    }

    /**
     * The examples in the order of the data set.
     *
     * @throws IllegalStateException if they are not in memory
     */
    public List<EncodedExample> examples() {
        if (examples == null) {
            throw new IllegalStateException(
                    "the data set is larger than what is held in memory; ask a loader for batches");
        }
        return examples;
    }

    Units units() {
        return units;
    }

    /** How many examples there are, or rows where they are encoded when they are needed. */
    public int size() {
        return units.size();
    }

    /** The most tokens that an example has, or may have where they are encoded when they are needed. */
    public int longest() {
        return longest;
    }

    /**
     * SHA-256 in hexadecimal over the number of examples and the kind, ids and labels of each of their sequences, in order; of rows that
     * are not in memory, over 256 of them that are spread evenly. With the same settings of a {@link BatchLoader} the same
     * batches follow.
     */
    public String fingerprint() {
        MessageDigest digest = sha256();
        add(digest, units.size(), longest);
        int step = isLazy() ? Math.max(1, units.size() / LAZY_SAMPLE) : 1;
        for (int i = 0; i < units.size(); i += step) {
            try {
                for (EncodedExample example : units.get(i)) {
                    for (EncodedSequence sequence : example.sequences()) {
                        digest.update(sequence.kind().name().getBytes(StandardCharsets.UTF_8));
                        add(digest, i, sequence.length());
                        add(digest, sequence.inputIds());
                        add(digest, sequence.labels());
                        float[] weights = sequence.weights();
                        for (int k = 0; weights != null && k < weights.length; k++) {
                            add(digest, Float.floatToIntBits(weights[k]));
                        }
                    }
                }
            } catch (DatasetException e) { // a row that is met later, and told then
                add(digest, i, -1);
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every Java has it
        }
    }

    private static void add(MessageDigest digest, int... numbers) {
        ByteBuffer bytes = ByteBuffer.allocate(Integer.BYTES * numbers.length);
        bytes.asIntBuffer().put(numbers);
        digest.update(bytes);
    }

    /**
     * What became of the rows, which are all counted for it. Where they are encoded when they are needed: of the first ones, until a loader has dealt out
     * more; then of those.
     */
    public DataReport report() {
        DataReport first = report;
        if (first == null) {
            first = looked.apply(size());
            report = first;
        }
        ReportBuilder since = counts;
        if (since == null) {
            return first;
        }
        synchronized (since) {
            return since.completing(first);
        }
    }
}
