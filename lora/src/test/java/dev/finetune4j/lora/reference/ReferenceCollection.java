package dev.finetune4j.lora.reference;

import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Stream;

/** All cases of a folder, and what in the folder no case reads. */
record ReferenceCollection(ReferenceFolder folder, List<ReferenceCase> cases) {
    private static final List<Function<ReferenceFolder, List<ReferenceCase>>> KINDS = List.of(
            ModelCases::of,
            AdapterCases::of,
            TrajectoryCases::of,
            QuantizedCases::of,
            ModelCases::packed,
            NumberCases::schedules,
            NumberCases::sampling,
            PreferenceCases::of,
            TokenizerCases::of);

    private static final String NOTES = "README.md";
    private static final String REPORT = "REPORT.json";
    /** What the report of a collection calls one of the things that it has written. */
    private static final Map<String, String> KIND_OF_WORD = Map.of(
            "model", "models",
            "adapter", "adapters",
            "trajectory", "trajectories",
            "tokenizer", "tokenizers");

    static ReferenceCollection of(ReferenceFolder folder) {
        List<ReferenceCase> cases = new ArrayList<>();
        KINDS.forEach(kind -> cases.addAll(kind.apply(folder)));
        return new ReferenceCollection(folder, List.copyOf(cases));
    }

    /** Files that no case reads, and folders in which there is nothing, by their path in the collection. */
    List<String> uncovered() {
        Set<Path> covered = new HashSet<>();
        cases.forEach(one -> covered.addAll(one.files()));
        covered.add(folder.root().resolve(REPORT));
        try (Stream<Path> paths = Files.walk(folder.root())) {
            return paths.filter(path -> Files.isDirectory(path)
                            ? isEmpty(path)
                            : !covered.contains(path)
                                    && !ReferenceFolder.name(path).equals(NOTES))
                    .map(path -> folder.root().relativize(path).toString())
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static boolean isEmpty(Path directory) {
        try (Stream<Path> entries = Files.list(directory)) {
            return entries.findAny().isEmpty();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** What the collection's own report, if there is one, says it has and no case stands for. */
    List<String> missing() {
        Path report = folder.root().resolve(REPORT);
        List<String> missing = new ArrayList<>();
        if (Files.exists(report)) {
            TestData.json(report).path("done").forEach(entry -> {
                if (cases.stream().noneMatch(one -> standsFor(one, entry.asText()))) {
                    missing.add(entry.asText());
                }
            });
        }
        return missing;
    }

    /** Whether a case belongs to an entry of the report, such as {@code model llama} or {@code sampling}. */
    private static boolean standsFor(ReferenceCase one, String entry) {
        String[] words = entry.split(" ", 2);
        return one.kind().equals(KIND_OF_WORD.getOrDefault(words[0], words[0]))
                && (words.length == 1 || one.name().startsWith(words[1] + " "));
    }
}
