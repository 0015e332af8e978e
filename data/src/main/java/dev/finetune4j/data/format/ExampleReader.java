package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetFormat;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.source.RowConsumer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Makes examples of the rows of a file, in the format that was asked for or that the first row shows. */
public final class ExampleReader implements RowConsumer {
    private final DatasetFormat wanted;
    private final String source;
    private final DatasetProblems problems;
    private final List<Example> examples = new ArrayList<>();
    private @Nullable RowFormat format;

    /**
     * A reader that has seen no row.
     *
     * @param source what errors call the file
     * @param problems takes what is wrong with the rows
     */
    public ExampleReader(DatasetFormat wanted, String source, DatasetProblems problems) {
        this.wanted = wanted;
        this.source = source;
        this.problems = problems;
    }

    @Override
    public boolean accept(JsonNode row, long index, @Nullable Integer line) {
        Provenance where = new Provenance(source, index);
        if (format == null) {
            format = RowFormat.of(wanted, row);
        }
        if (format == null || (index == 0 && !format.fits(row))) {
            // Saying so for each row would help nobody.
            problems.add(DatasetProblem.ofRow(where, null, UnknownFormat.explain(row))
                    .atLine(line, null));
            return false;
        }
        Example example = format.read(row, where, problem -> problems.add(problem.atLine(line, null)));
        if (example != null) {
            examples.add(example);
        }
        return true;
    }

    /** The examples of the rows so far that nothing was wrong with. */
    public List<Example> examples() {
        return examples;
    }
}
