package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.DatasetFormat;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.Provenance;
import dev.finetune4j.data.source.RowConsumer;
import dev.finetune4j.data.source.SourceFile;
import dev.finetune4j.data.source.TableRows;
import java.nio.file.Path;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Makes examples of rows, in the format that was asked for or that the first row shows.
 *
 * <p>Once it has seen a row, any number of threads may use it.
 */
public final class ExampleReader {
    private static final Logger LOG = LoggerFactory.getLogger(ExampleReader.class);

    private final DatasetFormat wanted;
    private final DatasetProblems problems;
    private volatile @Nullable Layout layout;

    /**
     * A reader that has seen no row.
     *
     * @param problems takes what is wrong with the rows
     */
    public ExampleReader(DatasetFormat wanted, DatasetProblems problems) {
        this.wanted = wanted;
        this.problems = problems;
    }

    /**
     * Settles the format by the first row.
     *
     * @return whether it is recognised; if not, that is reported
     */
    public boolean recognise(JsonNode first, Provenance where, @Nullable Integer line) {
        layout = Layout.of(wanted, first);
        if (layout == null) {
            // Saying so for each row would help nobody.
            problems.add(DatasetProblem.ofRow(where, null, UnknownFormat.explain(first))
                    .atLine(line, null));
        }
        return layout != null;
    }

    /** The example of a row, or null if it is reported; the format must be settled. */
    public @Nullable Example read(JsonNode row, Provenance where, @Nullable Integer line) {
        return read(row, where, problem -> problems.add(problem.atLine(line, null)));
    }

    /** The example of a row, or null if something is wrong with it, which the consumer takes. */
    public @Nullable Example read(JsonNode row, Provenance where, Consumer<DatasetProblem> reports) {
        Layout known = layout;
        if (known == null) {
            throw new IllegalStateException("the format is not known before the first row");
        }
        return RowReader.of(known, row, where, reports).example();
    }

    /**
     * The examples of all rows of a file.
     *
     * @param problems takes what is wrong with the rows
     */
    public static List<Example> readAll(Path file, DatasetFormat format, DatasetProblems problems) {
        ExampleReader reader = new ExampleReader(format, problems);
        List<Example> examples = new ArrayList<>();
        new SourceFile(file, problems).read(reader.into(examples, file.toString()));
        return examples;
    }

    /**
     * The examples of all rows of a query's result.
     *
     * @param problems takes what is wrong with the rows
     * @throws SQLException from the result
     */
    public static List<Example> readAll(ResultSet result, DatasetFormat format, DatasetProblems problems)
            throws SQLException {
        ExampleReader reader = new ExampleReader(format, problems);
        List<Example> examples = new ArrayList<>();
        TableRows.read(result, reader.into(examples, "the query's result"));
        return examples;
    }

    /**
     * Puts the examples of rows into a list.
     *
     * @param source what errors call the place that the rows come from
     */
    public RowConsumer into(List<Example> examples, String source) {
        return (row, index, line) -> {
            Provenance where = new Provenance(source, index);
            if (layout == null) {
                if (!recognise(row, where, line)) {
                    return false;
                }
                LOG.info("{} is read as {}", source, explanation());
            }
            Example example = read(row, where, line);
            if (example != null) {
                examples.add(example);
            }
            return true;
        };
    }

    /** One line that says how rows are read, or that none was. */
    public String explanation() {
        Layout known = layout;
        return known == null ? "no row was read" : known.explain();
    }
}
