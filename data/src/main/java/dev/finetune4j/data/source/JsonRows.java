package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.json.JsonReader;
import dev.finetune4j.core.json.JsonSyntaxException;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import dev.finetune4j.data.Provenance;
import java.io.IOException;
import java.io.Reader;
import org.jspecify.annotations.Nullable;

/**
 * The rows of a <a href="https://www.rfc-editor.org/rfc/rfc8259">JSON</a> array or of <a
 * href="https://jsonlines.org">JSON lines</a>. An array is given up at its first error of syntax, as nothing after it can
 * be trusted; lines stand each on their own.
 */
final class JsonRows {
    private final String source;
    private final DatasetProblems problems;
    private long rows;
    private boolean stopped;

    JsonRows(String source, DatasetProblems problems) {
        this(source, problems, 0);
    }

    /** @param firstRow the number of the first row */
    JsonRows(String source, DatasetProblems problems, long firstRow) {
        this.source = source;
        this.problems = problems;
        this.rows = firstRow;
    }

    void readArray(Reader reader, RowConsumer consumer) throws IOException {
        JsonReader json = new JsonReader(reader);
        try {
            json.enterArray();
            for (JsonNode row = json.nextItem(); row != null; row = json.nextItem()) {
                if (!consumer.accept(row, rows++, null)) {
                    return;
                }
            }
            if (json.hasMore()) {
                problems.add(ofFile("another value follows the array of rows, expected the end of the file;"
                                + " put all rows into one array, or one object in each line without an array")
                        .atLine(json.line(), json.column()));
            }
        } catch (JsonSyntaxException e) {
            problems.add(syntax(e, null), e);
        }
    }

    /** One item of an array, with what stands between it and the next. */
    void readItem(String item, int line, RowConsumer consumer) throws IOException {
        JsonReader json = new JsonReader(item, line);
        try {
            JsonNode row = json.next();
            if (row == null || json.hasMoreThan(",]")) {
                problems.add(inLine("something stands between this row and the next, expected ','")
                        .atLine(json.line(), json.column()));
            } else {
                consumer.accept(row, rows, null);
            }
        } catch (JsonSyntaxException e) {
            problems.add(syntax(e, null), e);
        }
    }

    void readLines(LineReader lines, RowConsumer consumer) throws IOException {
        for (String line = lines.next(); line != null && !stopped; line = lines.next()) {
            readLine(line, lines.number(), consumer);
        }
    }

    /** One line, which counts as a row unless it is blank. */
    void readLine(String line, int number, RowConsumer consumer) throws IOException {
        if (line.isBlank()) {
            return;
        }
        if (rows == 0 && line.strip().equals("{")) {
            problems.add(
                    ofFile("the file is an object that spans several lines, expected an array of rows or one object"
                                    + " in each line; put the rows between [ and ]")
                            .atLine(number, 1));
            stopped = true;
            return;
        }
        JsonReader json = new JsonReader(line, number);
        try {
            JsonNode row = json.next();
            if (row != null && !json.hasMore()) {
                stopped = !consumer.accept(row, rows++, number);
            } else {
                problems.add(notOneObject(line, row != null, number, json.column()));
                rows++;
            }
        } catch (JsonSyntaxException e) {
            problems.add(syntax(e, rows), e);
            rows++;
        }
    }

    /** @param column where the object has ended */
    private DatasetProblem notOneObject(String line, boolean begun, int number, int column) {
        String text = line.stripTrailing();
        int carriageReturn = text.indexOf('\r');
        if (carriageReturn >= 0) {
            return inLine("the lines end with a carriage return alone, expected a line feed, with a carriage return"
                            + " before it or not; save the file with the line ends of Unix or Windows")
                    .atLine(number, carriageReturn + 1);
        }
        String problem = begun && text.endsWith(",")
                ? "a comma follows the object, expected the end of the line; delete it, or put the rows between [ and ]"
                : "more than one value stands in the line, expected one object in each line; break the line there";
        return inLine(problem).atLine(number, column);
    }

    /** @param row the row if each line is read on its own */
    private DatasetProblem syntax(JsonSyntaxException e, @Nullable Long row) {
        String text;
        if (!e.isCutOff()) {
            String field = e.field() == null ? "" : "in the field \"" + e.field() + "\" ";
            text = "is not valid JSON: " + field + e.getMessage();
        } else if (row == null) {
            text = "the end of the file comes in the middle of a value; the file may be cut off: fetch it again or"
                    + " complete it";
        } else {
            text = "the line ends in the middle of a value; without an array around the rows, each must stand in one"
                    + " line: complete the line, or put the rows between [ and ]";
        }
        return new DatasetProblem(source, row, e.line(), e.column(), e.field(), text);
    }

    private DatasetProblem inLine(String text) {
        return DatasetProblem.ofRow(new Provenance(source, rows), null, text);
    }

    private DatasetProblem ofFile(String text) {
        return DatasetProblem.ofFile(source, text);
    }
}
