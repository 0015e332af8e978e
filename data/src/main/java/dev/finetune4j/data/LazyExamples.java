package dev.finetune4j.data;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.data.format.ExampleReader;
import dev.finetune4j.data.source.IndexedFile;
import dev.finetune4j.data.source.RowsByNumber;
import dev.finetune4j.data.source.UncountedList;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The examples of files one after the other, each read when it is asked for. Thread-safe. */
final class LazyExamples extends UncountedList<Example> {
    /** The rows of a file. */
    private record Part(String source, RowsByNumber rows, ExampleReader reader) {}

    private final List<Part> parts;
    /** The number in the whole at which each part begins, and the last one ends; as many as are known. */
    private final int[] starts;

    private volatile int known = 1;

    private LazyExamples(List<Part> parts) {
        this.parts = parts;
        this.starts = new int[parts.size() + 1];
    }

    /** @throws DatasetException if a file cannot be read, or its format is not recognised */
    static LazyExamples of(List<Path> files, DatasetFormat format) {
        DatasetProblems problems = new DatasetProblems();
        List<Part> parts = new ArrayList<>();
        for (Path file : files) {
            RowsByNumber rows = IndexedFile.open(file);
            ExampleReader reader = new ExampleReader(format, problems);
            reader.recognise(rows.row(0), new Provenance(file.toString(), 0), null);
            parts.add(new Part(file.toString(), rows, reader));
        }
        problems.throwIfAny();
        return new LazyExamples(parts);
    }

    /** The part in which an example stands; the number of parts if there is no such example. */
    private int part(int index) {
        int at = known - 1;
        if (index < starts[at]) {
            int found = Arrays.binarySearch(starts, 0, at, index);
            return found >= 0 ? found : -found - 2;
        }
        while (at < parts.size() && !parts.get(at).rows.has(index - starts[at])) {
            count(at);
            at++;
        }
        return at;
    }

    private synchronized void count(int part) {
        if (known == part + 1) {
            long end = (long) starts[part] + parts.get(part).rows.size();
            if (end > Integer.MAX_VALUE) {
                throw new DatasetException(DatasetProblem.ofFile(
                        parts.get(part).source, "takes the data set beyond 2^31 rows, the limit; split it"));
            }
            starts[part + 1] = (int) end;
            known = part + 2;
        }
    }

    @Override
    public boolean has(int index) {
        return part(index) < parts.size();
    }

    @Override
    public Example get(int index) {
        int at = index < 0 ? parts.size() : part(index);
        if (at == parts.size()) {
            throw new IndexOutOfBoundsException("there is no example " + index);
        }
        Part part = parts.get(at);
        int row = index - starts[at];
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
        for (int part = known - 1; part < parts.size(); part++) {
            count(part);
        }
        return starts[parts.size()];
    }
}
