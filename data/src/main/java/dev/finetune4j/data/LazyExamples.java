package dev.finetune4j.data;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.format.ExampleReader;
import dev.finetune4j.data.source.IndexedFile;
import dev.finetune4j.data.source.RowsByNumber;
import java.nio.file.Path;
import java.util.AbstractList;
import java.util.ArrayList;
import java.util.List;
import java.util.RandomAccess;

/** The examples of files one after the other, each read when it is asked for. Thread-safe. */
final class LazyExamples extends AbstractList<Example> implements RandomAccess {
    /** The rows of a file, which begin at a number of the whole. */
    private record Part(String source, int start, RowsByNumber rows, ExampleReader reader) {}

    private final List<Part> parts;
    private final int size;

    private LazyExamples(List<Part> parts, int size) {
        this.parts = parts;
        this.size = size;
    }

    /** @throws DatasetException if a file cannot be read, or its format is not recognised */
    static LazyExamples of(List<Path> files, DatasetFormat format) {
        DatasetProblems problems = new DatasetProblems();
        List<Part> parts = new ArrayList<>();
        long size = 0;
        for (Path file : files) {
            RowsByNumber rows = IndexedFile.open(file);
            ExampleReader reader = new ExampleReader(format, problems);
            reader.recognise(rows.row(0), new Provenance(file.toString(), 0), null);
            parts.add(new Part(file.toString(), (int) size, rows, reader));
            size += rows.size();
            if (size > Integer.MAX_VALUE) {
                throw new DatasetException(DatasetProblem.ofFile(
                        file.toString(), "takes the data set beyond 2^31 rows, the limit; split it"));
            }
        }
        problems.throwIfAny();
        return new LazyExamples(parts, (int) size);
    }

    @Override
    public Example get(int index) {
        int low = 0;
        int high = parts.size() - 1;
        while (low < high) {
            int middle = (low + high + 1) >>> 1;
            if (parts.get(middle).start <= index) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        Part part = parts.get(low);
        int row = index - part.start;
        JsonNode node = part.rows.row(row);
        DatasetProblems problems = new DatasetProblems();
        Example example = part.reader.read(node, new Provenance(part.source, row), problems::add);
        problems.throwIfAny();
        if (example == null) {
            throw new IllegalStateException(part.source + ", row " + row + " gives neither an example nor a problem");
        }
        return example;
    }

    @Override
    public int size() {
        return size;
    }
}
