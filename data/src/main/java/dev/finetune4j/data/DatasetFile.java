package dev.finetune4j.data;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.io.JsonEOFException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A file of rows as <a href="https://www.rfc-editor.org/rfc/rfc8259">JSON</a> array or <a
 * href="https://jsonlines.org">JSON lines</a>, read row by row. An array is given up at its first error of syntax, as
 * nothing after it can be trusted; lines stand each on their own.
 */
final class DatasetFile {
    /** Strict JSON; a text may have any length, and a field that stands twice in a row is an error. */
    private static final ObjectMapper JSON = new ObjectMapper(JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxStringLength(Integer.MAX_VALUE)
                    .build())
            .build());

    private final Path file;
    private final String source;
    private final List<SftExample> examples = new ArrayList<>();
    private final Problems problems = new Problems();
    private long rows;
    private boolean foreign;

    DatasetFile(Path file) {
        this.file = file;
        this.source = file.toString();
    }

    /** @throws DatasetException if anything is wrong with the file or one of its rows */
    List<SftExample> read() {
        if (!Files.exists(file)) {
            throw new DatasetException(ofFile("there is no such file; check the path, which is relative to "
                    + Path.of("").toAbsolutePath() + " unless it begins at the root"));
        }
        if (Files.isDirectory(file)) {
            throw new DatasetException(ofFile("is a folder, expected a file of rows; name the file in it"));
        }
        try {
            readRows();
        } catch (CharacterCodingException e) {
            problems.add(Utf8.locate(file), e);
        } catch (IOException e) {
            problems.add(ofFile("cannot be read: " + e + "; check that the file is readable"), e);
        }
        problems.throwIfAny();
        if (examples.isEmpty()) {
            throw new DatasetException(ofFile("holds no rows; training needs at least one"));
        }
        return examples;
    }

    private void readRows() throws IOException {
        FileStart start = FileStart.of(file);
        String refusal = start.refusal();
        if (refusal != null) {
            problems.add(ofFile(refusal));
            return;
        }
        try (Reader reader = Utf8.open(file)) {
            if (start.isArray()) {
                readArray(reader);
            } else {
                readLines(new LineReader(reader));
            }
        }
    }

    private void readArray(Reader reader) throws IOException {
        try (JsonParser parser = JSON.createParser(reader)) {
            parser.nextToken();
            while (parser.nextToken() != JsonToken.END_ARRAY) {
                addRow(JSON.readTree(parser), null);
                if (foreign) {
                    return;
                }
            }
            if (parser.nextToken() != null) {
                JsonLocation place = parser.currentTokenLocation();
                problems.add(ofFile("another value follows the array of rows, expected the end of the file;"
                                + " put all rows into one array, or one object in each line without an array")
                        .atLine(place.getLineNr(), place.getColumnNr()));
            }
        } catch (JsonProcessingException e) {
            problems.add(syntax(e, null, null), e);
        }
    }

    private void readLines(LineReader lines) throws IOException {
        for (String line = lines.next(); line != null && !foreign; line = lines.next()) {
            if (line.isBlank()) {
                continue;
            }
            if (rows == 0 && line.strip().equals("{")) {
                problems.add(
                        ofFile("the file is an object that spans several lines, expected an array of rows or one object"
                                        + " in each line; put the rows between [ and ]")
                                .atLine(lines.number(), 1));
                return;
            }
            try (JsonParser parser = JSON.createParser(line)) {
                JsonNode row = JSON.readTree(parser);
                if (parser.nextToken() == null) {
                    addRow(row, lines.number());
                } else {
                    problems.add(inLine("more than one value stands in the line, expected one object in each line")
                            .atLine(
                                    lines.number(),
                                    parser.currentTokenLocation().getColumnNr()));
                    rows++;
                }
            } catch (JsonProcessingException e) {
                problems.add(syntax(e, rows, lines.number()), e);
                rows++;
            }
        }
    }

    private void addRow(JsonNode node, @Nullable Integer line) {
        AlpacaRow row = new AlpacaRow(node, new Provenance(source, rows));
        SftExample example = row.example();
        if (example != null) {
            examples.add(example);
        }
        row.problems().forEach(problem -> problems.add(problem.atLine(line, null)));
        // A file whose first row has other columns is in another format: saying so for each row would help nobody.
        foreign = rows == 0 && row.isForeign();
        rows++;
    }

    /** @param line the line of the row if each line is read on its own */
    private DatasetProblem syntax(JsonProcessingException e, @Nullable Long row, @Nullable Integer line) {
        String text;
        if (!(e instanceof JsonEOFException)) {
            text = "is not valid JSON: " + e.getOriginalMessage() + "; correct the file there";
        } else if (line == null) {
            text = "the end of the file comes in the middle of a value; the file may be cut off: fetch it again or"
                    + " complete it";
        } else {
            text = "the line ends in the middle of a value; without an array around the rows, each must stand in one"
                    + " line: complete the line, or put the rows between [ and ]";
        }
        JsonLocation place = e.getLocation();
        Integer column = place == null ? null : place.getColumnNr();
        Integer where = line == null && place != null ? (Integer) place.getLineNr() : line;
        return new DatasetProblem(source, row, where, column, null, text);
    }

    private DatasetProblem inLine(String text) {
        return DatasetProblem.ofRow(new Provenance(source, rows), null, text);
    }

    private DatasetProblem ofFile(String text) {
        return DatasetProblem.ofFile(source, text);
    }
}
