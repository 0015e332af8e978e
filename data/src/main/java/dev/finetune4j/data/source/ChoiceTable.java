package dev.finetune4j.data.source;

import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.CsvRecord;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.zip.ZipException;
import org.jspecify.annotations.Nullable;

/** The CSV files of multiple-choice benchmarks, with a header or without. Stateless. */
public final class ChoiceTable {
    private static final char SEPARATOR = ',';

    private ChoiceTable() {}

    /**
     * Gives all rows to a consumer, by the names of the header or else {@code question}, {@code A}, {@code B} and so on, and {@code answer}.
     *
     * @param problems takes what is wrong with the file
     */
    public static void read(Path file, DatasetProblems problems, RowConsumer consumer) {
        SourceFile.requireRegular(file);
        String name = file.toString();
        try {
            List<String> header = header(file);
            try (InputStream in = SourceFile.open(file);
                    Reader reader = Utf8.reader(in)) {
                new CsvRows(name, SEPARATOR, problems, header, 0).read(reader, consumer);
            }
        } catch (CharacterCodingException e) {
            problems.add(Utf8.locate(file), e);
        } catch (ZipException | EOFException e) {
            problems.add(
                    DatasetProblem.ofFile(
                            name, "is gzip data that is cut off or damaged; fetch it again or pack it anew"),
                    e);
        } catch (IOException e) {
            problems.add(DatasetProblem.ofFile(name, "cannot be read: " + e + "; check that the file is readable"), e);
        }
    }

    /** The columns of a file whose first record does not name them; null if it does, or is none. */
    private static @Nullable List<String> header(Path file) throws IOException {
        try (InputStream in = SourceFile.open(file);
                Reader reader = Utf8.reader(in);
                CsvReader<CsvRecord> csv = CsvRows.builder(SEPARATOR).ofCsvRecord(reader)) {
            Iterator<CsvRecord> records = csv.iterator();
            List<String> first = records.hasNext() ? records.next().getFields() : List.of();
            boolean named = first.stream()
                    .anyMatch(cell -> cell.strip().toLowerCase(Locale.ROOT).equals("question"));
            return named || first.size() < 2 ? null : columns(first.size());
        } catch (CsvParseException e) {
            return null; // Who reads the rows says what is wrong.
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    private static List<String> columns(int count) {
        List<String> columns = new ArrayList<>(List.of("question"));
        for (int i = 0; i < count - 2; i++) {
            columns.add(String.valueOf((char) ('A' + i)));
        }
        columns.add("answer");
        return columns;
    }
}
