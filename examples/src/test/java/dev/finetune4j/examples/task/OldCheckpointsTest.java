package dev.finetune4j.examples.task;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Checkpoints that are to be replaced are lost only once a training has begun its steps, however a process ends before. */
class OldCheckpointsTest {
    @TempDir
    private Path folder;

    private List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    private void checkpoints(int... steps) throws IOException {
        for (int step : steps) {
            Path checkpoint = Files.createDirectories(folder.resolve("checkpoint-" + step));
            Files.writeString(checkpoint.resolve("adapter_config.json"), "{}");
        }
    }

    @Test
    void theyGiveWayOnlyToATrainingThatBegins() throws IOException {
        checkpoints(20, 40);
        Files.writeString(folder.resolve("notes.txt"), "stays");
        OldCheckpoints old = new OldCheckpoints(folder);
        old.setAside();
        assertEquals(List.of("notes.txt", "replaced-checkpoints"), names());
        old.restore();
        assertEquals(List.of("checkpoint-20", "checkpoint-40", "notes.txt"), names(), "it could not begin");

        new OldCheckpoints(folder).setAside(); // and the process is killed
        OldCheckpoints next = new OldCheckpoints(folder);
        assertEquals(List.of("checkpoint-20", "checkpoint-40", "notes.txt"), names());
        next.setAside();
        next.delete();
        assertEquals(List.of("notes.txt"), names());
        next.restore();
        assertEquals(List.of("notes.txt"), names());
    }
}
