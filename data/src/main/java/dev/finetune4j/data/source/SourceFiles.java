package dev.finetune4j.data.source;

import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetProblem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The files of rows that a path names: itself, or those in a folder and the folders in it, by name. */
public final class SourceFiles {
    private static final Logger LOG = LoggerFactory.getLogger(SourceFiles.class);
    private static final Set<String> ROWS = Set.of("json", "jsonl", "ndjson", "csv", "tsv", "tab", "parquet");
    private static final Set<String> TEXTS = Set.of("txt", "text", "md");
    /** What texts shrink to a tenth at most. */
    private static final int UNPACKED = 10;

    private static final String DESCRIPTION = "dataset_info.json";

    private SourceFiles() {}

    /**
     * The files, at least one. Of a folder, those whose names say that they are rows, or if there are none those that are
     * texts; what begins with a dot or an underscore is left out, and the rest is named in the log.
     *
     * @throws DatasetException if a folder has none or cannot be listed
     */
    public static List<Path> of(Path path) {
        if (!Files.isDirectory(path)) {
            return List.of(path);
        }
        List<Path> all;
        try (Stream<Path> files = Files.walk(path)) {
            all = files.filter(Files::isRegularFile)
                    .filter(file -> isVisible(path.relativize(file)))
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(path.toString(), "is a folder that cannot be listed: " + e), e);
        }
        if (all.stream().anyMatch(file -> file.getFileName().toString().equals(DESCRIPTION))) {
            throw new DatasetException(DatasetProblem.ofFile(
                    path.toString(),
                    "is a folder with a " + DESCRIPTION + ", which describes the data sets in it; read one of them with"
                            + " Dataset.named(folder, \"…\")"));
        }
        List<Path> chosen = with(ROWS, all);
        if (chosen.isEmpty()) {
            chosen = with(TEXTS, all);
        }
        if (chosen.isEmpty()) {
            throw new DatasetException(DatasetProblem.ofFile(
                    path.toString(),
                    "is a folder with no file of rows or text in it; expected names that end with .json, .jsonl, .csv,"
                            + " .tsv, .parquet, .txt or .md, perhaps followed by .gz"));
        }
        List<Path> rest = new ArrayList<>(all);
        rest.removeAll(chosen);
        if (!rest.isEmpty()) {
            LOG.info("of the folder {} the files {} are not read", path, rest);
        }
        return chosen;
    }

    /** How large the files are together; packed ones count ten times. */
    public static long bytes(List<Path> files) {
        long bytes = 0;
        for (Path file : files) {
            try {
                bytes += Files.isRegularFile(file) ? Files.size(file) * (FileStart.isGzip(file) ? UNPACKED : 1) : 0;
            } catch (IOException e) {
                // The reader says what is wrong with it.
                LOG.debug("{} has no size", file, e);
            }
        }
        return bytes;
    }

    private static List<Path> with(Set<String> extensions, List<Path> files) {
        return files.stream()
                .filter(file -> extensions.contains(FileStart.extension(file)))
                .toList();
    }

    private static boolean isVisible(Path file) {
        for (Path part : file) {
            if (part.toString().startsWith(".") || part.toString().startsWith("_")) {
                return false;
            }
        }
        return true;
    }
}
