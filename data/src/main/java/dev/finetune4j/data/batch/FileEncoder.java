package dev.finetune4j.data.batch;

import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.source.TemporaryFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Encodes rows that are not in memory into a file: a temporary one, or one of a cache. Stateless. */
final class FileEncoder {
    private static final Logger LOG = LoggerFactory.getLogger(FileEncoder.class);
    private static final int PARTS = 10;

    private final ExampleEncoder encoder;
    private final @Nullable EncodingCache cache;

    /** @param cache null to encode into a temporary file */
    FileEncoder(ExampleEncoder encoder, @Nullable EncodingCache cache) {
        this.encoder = encoder;
        this.cache = cache;
    }

    /**
     * The rows, from the cache where they are there.
     *
     * @throws DatasetException if a row cannot be read or encoded; all of the latter are reported together
     */
    StoredUnits encode(List<Example> examples) {
        EncodingCache kept = cache;
        try {
            return kept == null ? temporarily(examples) : kept(kept, kept.file(examples), examples);
        } catch (UncheckedIOException e) {
            throw failure(examples, e.getCause());
        } catch (IOException e) {
            throw failure(examples, e);
        }
    }

    private DatasetException failure(List<Example> examples, @Nullable IOException e) {
        String remedy = cache == null
                ? TemporaryFile.REMEDY
                : "; make room in the folder of the encoding cache, or choose another one";
        return new DatasetException(
                DatasetProblem.ofFile(examples.get(0).where().source(), "cannot be encoded into a file: " + e + remedy),
                e == null ? new IOException() : e);
    }

    private StoredUnits temporarily(List<Example> examples) throws IOException {
        try (TemporaryFile temporary = new TemporaryFile()) {
            try (EncodedFile.Writer writer = new EncodedFile.Writer(temporary.path(), examples.size())) {
                encode(examples, writer);
                writer.finish();
            }
            return new StoredUnits(new EncodedFile(temporary.path(), examples.size()), temporary.path());
        }
    }

    private StoredUnits kept(EncodingCache kept, Path file, List<Example> examples) throws IOException {
        Optional<EncodedFile> known = kept.read(file, examples.size());
        if (known.isPresent()) {
            return new StoredUnits(known.get(), file);
        }
        kept.write(file, examples.size(), writer -> encode(examples, writer));
        return new StoredUnits(new EncodedFile(file, examples.size()), file);
    }

    private void encode(List<Example> examples, EncodedFile.Writer writer) {
        DatasetProblems problems = new DatasetProblems();
        int part = Math.max(1, examples.size() / PARTS);
        int[] done = {0};
        OrderedMap.of(examples, encoder::encode, (example, row) -> {
            DatasetProblem problem = row.problem();
            if (problem != null) {
                SftEncoder.add(problems, problem, row.cause());
            } else {
                add(writer, row);
            }
            if (++done[0] % part == 0) {
                LOG.info("{} of {} rows are encoded", done[0], examples.size());
            }
        });
        problems.throwIfAny();
    }

    private static void add(EncodedFile.Writer writer, EncodedRow row) {
        try {
            writer.add(row);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
