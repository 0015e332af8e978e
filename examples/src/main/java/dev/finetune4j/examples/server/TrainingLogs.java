package dev.finetune4j.examples.server;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** The logs of trainings, which run or have run in whatever process: {@code trainer_log.jsonl} in the folders below one. */
final class TrainingLogs {
    private static final String FILE = "trainer_log.jsonl";
    private static final int DEPTH = 5;
    private static final int MAX_RUNS = 500;
    private static final int PIECE = 1 << 20;

    private final @Nullable Path folder;

    /** @param folder null for none */
    TrainingLogs(@Nullable Path folder) {
        this.folder = folder;
    }

    /** The logs by the path of their run below the folder. Only those that were found can be read. */
    private Map<String, Path> found() throws IOException {
        Map<String, Path> found = new TreeMap<>();
        if (folder == null || !Files.isDirectory(folder)) {
            return found;
        }
        try (Stream<Path> files =
                Files.find(folder, DEPTH, (file, attributes) -> attributes.isRegularFile() && file.endsWith(FILE))) {
            files.limit(MAX_RUNS).forEach(file -> {
                String id = String.valueOf(folder.relativize(file).getParent());
                found.put(id.equals("null") ? "." : id.replace('\\', '/'), file);
            });
        }
        return found;
    }

    /** The runs, the one that was written to last first. */
    ObjectNode list() throws IOException {
        ObjectNode list = JsonBody.MAPPER.createObjectNode().put("object", "list");
        ArrayNode data = list.putArray("data");
        Comparator<ObjectNode> newest =
                Comparator.comparingDouble(run -> -run.path("modified").doubleValue());
        found().entrySet().stream()
                .map(entry -> JsonBody.MAPPER
                        .createObjectNode()
                        .put("id", entry.getKey())
                        .put("object", "training.run")
                        .put("modified", entry.getValue().toFile().lastModified() / 1000.0))
                .sorted(newest)
                .forEach(data::add);
        return list;
    }

    /**
     * The lines of a run.
     *
     * @param from offset in bytes, where an earlier answer has ended; beyond the end, of a log that has begun anew, it is 0
     */
    ObjectNode read(String run, long from) throws IOException {
        Path file = found().get(run);
        if (file == null) {
            throw ApiException.invalid(
                    404, "run_not_found", "there is no run \"" + Texts.shortened(run) + "\"; see /v1/training/runs");
        }
        ObjectNode answer = JsonBody.MAPPER.createObjectNode().put("run", run);
        ArrayNode lines = answer.putArray("lines");
        try (RandomAccessFile log = new RandomAccessFile(file.toFile(), "r")) {
            long start = from > log.length() ? 0 : from;
            log.seek(start);
            byte[] bytes = new byte[(int) Math.min(PIECE, log.length() - start)];
            log.readFully(bytes);
            int end = bytes.length;
            while (end > 0 && bytes[end - 1] != '\n') {
                end--;
            }
            for (String line :
                    new String(bytes, 0, end, StandardCharsets.UTF_8).lines().toList()) {
                add(lines, line);
            }
            return answer.put("next", start + end);
        }
    }

    /** A line that is no JSON, as a crash may leave one, is passed over. */
    private static void add(ArrayNode lines, String line) {
        try {
            if (!line.isBlank()) {
                lines.add(JsonBody.MAPPER.readTree(line));
            }
        } catch (JsonProcessingException e) {
            return;
        }
    }

    /** The names of the files that are looked for. */
    static List<String> names() {
        return List.of(FILE);
    }
}
