package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import de.siegmar.fastcsv.reader.CloseableIterator;
import de.siegmar.fastcsv.reader.CommentStrategy;
import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.CsvRecord;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import dev.finetune4j.data.Provenance;
import java.io.IOException;
import java.io.Reader;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The rows of a table of text by <a href="https://www.rfc-editor.org/rfc/rfc4180">RFC 4180</a>, with a header. Every cell is
 * a text; rows that are empty all over do not count.
 */
final class CsvRows {
    /** Follows the last record, so that a quote that is never closed is seen: it swallows this. */
    private static final String END = "\uFDD0";

    private static final String AT_END = "\n" + END;

    /** A cell may not be longer. */
    private static final int MAX_CELL = 256 << 20;

    private final String source;
    private final char separator;
    private final DatasetProblems problems;
    private @Nullable List<String> header;
    private long rows;

    CsvRows(String source, char separator, DatasetProblems problems) {
        this(source, separator, problems, null, 0);
    }

    /**
     * @param header the columns, or null if the first record has them
     * @param firstRow the number of the first row
     */
    CsvRows(String source, char separator, DatasetProblems problems, @Nullable List<String> header, long firstRow) {
        this.source = source;
        this.separator = separator;
        this.problems = problems;
        this.header = header;
        this.rows = firstRow;
    }

    /**
     * The columns that the text of a header has; null if it is blank.
     *
     * @throws dev.finetune4j.data.DatasetException if it cannot be read
     */
    static @Nullable List<String> header(String source, char separator, String text) throws IOException {
        DatasetProblems problems = new DatasetProblems();
        CsvRows rows = new CsvRows(source, separator, problems);
        rows.read(new StringReader(text), 1, (unused, index, line) -> true);
        problems.throwIfAny();
        return rows.header;
    }

    void read(Reader reader, RowConsumer consumer) throws IOException {
        read(reader, 1, consumer);
    }

    /** One row of a table whose header is known. */
    void readOne(String text, int firstLine, RowConsumer consumer) throws IOException {
        read(builder(separator).ofCsvRecord(text + AT_END), firstLine, consumer);
    }

    private void read(Reader reader, int firstLine, RowConsumer consumer) throws IOException {
        read(builder(separator).ofCsvRecord(new Ended(reader, AT_END)), firstLine, consumer);
    }

    private void read(CsvReader<CsvRecord> reader, int firstLine, RowConsumer consumer) throws IOException {
        int line = firstLine;
        boolean closed = false;
        try (CsvReader<CsvRecord> csv = reader;
                CloseableIterator<CsvRecord> records = csv.iterator()) {
            while (records.hasNext()) {
                CsvRecord record = records.next();
                if (record.getFieldCount() == 1 && record.getField(0).equals(END)) {
                    closed = true;
                    break;
                }
                line = firstLine - 1 + (int) record.getStartingLineNumber();
                String last = record.getField(record.getFieldCount() - 1);
                if (last.endsWith(END)) {
                    problems.add(ofRow("a text in double quotes is not closed before the end of the file; close it, and"
                                    + " write a quote inside of it twice")
                            .atLine(line, null));
                    return;
                }
                if (!accept(record, line, consumer)) {
                    return;
                }
                line += (int) record.getFields().stream()
                        .flatMapToInt(String::chars)
                        .filter(c -> c == '\n')
                        .count();
                line++;
            }
        } catch (CsvParseException e) {
            problems.add(unreadable(e, line), e);
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
        if (closed && header == null) {
            problems.add(DatasetProblem.ofFile(source, "is empty, expected a header with the names of the columns"));
        }
    }

    static CsvReader.CsvReaderBuilder builder(char separator) {
        return CsvReader.builder()
                .fieldSeparator(separator)
                .commentStrategy(CommentStrategy.NONE)
                .skipEmptyLines(true)
                .allowExtraFields(true)
                .allowMissingFields(true)
                .allowExtraCharsAfterClosingQuote(false)
                .maxBufferSize(MAX_CELL);
    }

    private DatasetProblem unreadable(CsvParseException e, int line) throws IOException {
        if (e.getCause() instanceof IOException io) {
            throw io;
        }
        String reason = e.getCause() instanceof CsvParseException
                ? "something follows the closing quote of a text, expected a separator; write a quote inside of a text in"
                        + " double quotes twice"
                : "a cell is beyond the limit of " + MAX_CELL + " characters; a quote may not be closed";
        return (header == null ? DatasetProblem.ofFile(source, reason) : ofRow(reason)).atLine(line, null);
    }

    private boolean accept(CsvRecord record, int line, RowConsumer consumer) {
        List<String> names = header;
        if (names == null) {
            return readHeader(record, line);
        }
        if (record.getFields().stream().allMatch(String::isBlank)) {
            return true;
        }
        int columns = names.size();
        if (record.getFieldCount() != columns) {
            problems.add(ofRow("has " + record.getFieldCount() + " cells, but the header has " + columns + " ("
                            + String.join(", ", names) + "); put a text that holds a separator into double quotes")
                    .atLine(line, null));
            rows++;
            return true;
        }
        return consumer.accept(row(names, record), rows++, line);
    }

    static ObjectNode row(List<String> names, CsvRecord record) {
        ObjectNode row = JsonNodeFactory.instance.objectNode();
        for (int i = 0; i < names.size(); i++) {
            if (!names.get(i).isEmpty()) {
                row.put(names.get(i), record.getField(i));
            }
        }
        return row;
    }

    private boolean readHeader(CsvRecord record, int line) {
        List<String> names =
                new ArrayList<>(record.getFields().stream().map(String::strip).toList());
        Set<String> seen = new HashSet<>();
        for (String name : names) {
            if (!name.isEmpty() && !seen.add(name)) {
                problems.add(DatasetProblem.ofFile(
                                source, "the header has the column \"" + name + "\" twice; rename or delete one")
                        .atLine(line, null));
                return false;
            }
        }
        header = List.copyOf(names);
        return true;
    }

    private DatasetProblem ofRow(String text) {
        return DatasetProblem.ofRow(new Provenance(source, rows), null, text);
    }

    /** A text with an end put behind it. */
    private static final class Ended extends Reader {
        private final Reader text;
        private final String end;
        private int given = -1;

        Ended(Reader text, String end) {
            this.text = text;
            this.end = end;
        }

        @Override
        public int read(char[] buffer, int offset, int length) throws IOException {
            if (given < 0) {
                int count = text.read(buffer, offset, length);
                if (count >= 0) {
                    return count;
                }
                given = 0;
            }
            int count = Math.min(length, end.length() - given);
            end.getChars(given, given + count, buffer, offset);
            given += count;
            return count == 0 ? -1 : count;
        }

        @Override
        public void close() throws IOException {
            text.close();
        }
    }
}
