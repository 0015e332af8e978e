package dev.finetune4j.data.batch;

import dev.finetune4j.data.DataReport;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A data set ready for {@link BatchLoader}: in memory, or encoded row by row as the loader needs it. */
public final class EncodedDataset {
    private final @Nullable List<EncodedExample> examples;
    private final Units units;
    private final DataReport report;
    private final int longest;

    private EncodedDataset(@Nullable List<EncodedExample> examples, Units units, DataReport report, int longest) {
        this.examples = examples;
        this.units = units;
        this.report = report;
        this.longest = longest;
    }

    /** One in memory. */
    static EncodedDataset of(List<EncodedExample> examples, DataReport report) {
        List<EncodedExample> copy = List.copyOf(examples);
        return new EncodedDataset(copy, Units.of(copy.stream().map(List::of).toList()), report, report.longest());
    }

    /** @param longest tokens that an example may have */
    static EncodedDataset lazily(Units units, DataReport report, int longest) {
        return new EncodedDataset(null, units, report, longest);
    }

    /** Whether rows are encoded when they are needed. */
    public boolean isLazy() {
        return examples == null;
    }

    /**
     * The examples in the order of the data set.
     *
     * @throws IllegalStateException if they are encoded when they are needed
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

    /** What became of the rows, or of the first ones where they are encoded when they are needed. */
    public DataReport report() {
        return report;
    }
}
