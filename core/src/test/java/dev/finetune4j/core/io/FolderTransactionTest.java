package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files are replaced as a whole or not at all, whatever fails and whenever the process ends. */
class FolderTransactionTest {
    private static final int HALTED = 42;

    @TempDir
    private Path folder;

    @AfterEach
    void watchNoMore() {
        Disk.watch(null);
    }

    private static Map<String, String> state(String text, String... names) {
        Map<String, String> files = new TreeMap<>();
        for (String name : names) {
            files.put(name, text + " " + name);
        }
        return files;
    }

    private static final Map<String, String> OLD = state(
            "old",
            "config.json",
            "model.safetensors",
            "chat_template.jinja",
            "additional_chat_templates/tool_use.jinja",
            "tokenizer.json");
    private static final Map<String, String> NEW =
            state("new", "config.json", "model.safetensors", "tokenizer.json", "generation_config.json");

    private static void save(Path into, Map<String, String> files) throws IOException {
        try (FolderTransaction transaction = FolderTransaction.begin(into, FolderTransaction.Kind.MODEL)) {
            for (Map.Entry<String, String> file : files.entrySet()) {
                transaction.write(file.getKey(), file.getValue().getBytes(StandardCharsets.UTF_8));
            }
            transaction.commit();
        }
    }

    /** All files but the user's own. */
    private static Map<String, String> read(Path from) throws IOException {
        Map<String, String> files = new TreeMap<>();
        try (Stream<Path> paths = Files.walk(from)) {
            for (Path path : paths.filter(Files::isRegularFile).toList()) {
                files.put(from.relativize(path).toString().replace('\\', '/'), Files.readString(path));
            }
        }
        files.remove("notes.txt");
        return files;
    }

    private Path oldOne(String name) throws IOException {
        Path target = folder.resolve(name);
        save(target, OLD);
        Files.writeString(target.resolve("notes.txt"), "mine");
        assertEquals(OLD, read(target));
        return target;
    }

    @Test
    void theNewFilesComeAndTheOldOnesGo() throws IOException {
        Path target = oldOne("model");
        save(target, NEW);
        assertEquals(NEW, read(target));
        assertEquals("mine", Files.readString(target.resolve("notes.txt")));
    }

    /** A disk that is full, a right that is missing: at each of the steps in turn. */
    @Test
    void aFailureAtAnyStepLeavesTheOldFilesOrTheNewOnes() throws IOException {
        int steps = steps();
        int failed = 0;
        for (int step = 1; step <= steps; step++) {
            Path target = oldOne("failed-" + step);
            failAt(step);
            try {
                save(target, NEW);
            } catch (IOException e) {
                assertEquals("step " + step, e.getMessage());
                failed++;
            } finally {
                Disk.watch(null);
            }
            FolderTransaction.settle(target);
            Map<String, String> found = read(target);
            assertTrue(found.equals(OLD) || found.equals(NEW), "step " + step + ": " + found);
            assertEquals("mine", Files.readString(target.resolve("notes.txt")));
        }
        assertTrue(failed > steps / 2, failed + " of " + steps);
    }

    @Test
    void whatWasBegunInANewFolderIsRemoved() throws IOException {
        Path target = folder.resolve("a/b");
        failAt(6);
        assertThrows(IOException.class, () -> save(target, NEW));
        Disk.watch(null);
        assertFalse(Files.exists(folder.resolve("a")));
    }

    private int steps() throws IOException {
        Path target = oldOne("counted");
        AtomicInteger count = new AtomicInteger();
        Disk.watch((step, path) -> count.incrementAndGet());
        save(target, NEW);
        Disk.watch(null);
        assertTrue(count.get() > 20, count + " steps");
        return count.get();
    }

    private static void failAt(int wanted) {
        AtomicInteger count = new AtomicInteger();
        Disk.watch((step, path) -> {
            if (count.incrementAndGet() == wanted) {
                throw new IOException("step " + wanted);
            }
        });
    }

    /** A process that ends without a word at each of the steps; a sample of them unless all are asked for. */
    @Tag("slow")
    @Test
    void aProcessThatEndsAtAnyStepLeavesTheOldFilesOrTheNewOnes() throws Exception {
        int steps = steps();
        int stride = Boolean.getBoolean("finetune4j.long") ? 1 : 5;
        boolean old = false;
        boolean fresh = false;
        for (int step = 1; step <= steps; step += stride) {
            Path target = oldOne("halted-" + step);
            Process child = new ProcessBuilder(
                            Path.of(System.getProperty("java.home"), "bin", "java")
                                    .toString(),
                            "-XX:TieredStopAtLevel=1",
                            "-cp",
                            System.getProperty("java.class.path"),
                            Halting.class.getName(),
                            target.toString(),
                            String.valueOf(step))
                    .redirectErrorStream(true)
                    .redirectOutput(folder.resolve("printed.txt").toFile())
                    .start();
            assertTrue(child.waitFor(60, TimeUnit.SECONDS), "it did not end");
            assertEquals(HALTED, child.exitValue(), () -> "step: " + printed());
            FolderTransaction.settle(target);
            Map<String, String> found = read(target);
            assertTrue(found.equals(OLD) || found.equals(NEW), "step " + step + ": " + found);
            old |= found.equals(OLD);
            fresh |= found.equals(NEW);
            assertEquals("mine", Files.readString(target.resolve("notes.txt")));
            save(target, NEW);
            assertEquals(NEW, read(target));
        }
        assertTrue(old && fresh, "both were seen");
    }

    private String printed() {
        try {
            return Files.readString(folder.resolve("printed.txt"));
        } catch (IOException e) {
            return e.toString();
        }
    }

    /** The program of the child process. */
    static final class Halting {
        private Halting() {}

        public static void main(String[] args) throws IOException {
            int wanted = Integer.parseInt(args[1]);
            AtomicInteger count = new AtomicInteger();
            Disk.watch((step, path) -> {
                if (count.incrementAndGet() == wanted) {
                    Runtime.getRuntime().halt(HALTED);
                }
            });
            save(Path.of(args[0]), NEW);
        }
    }

    @Test
    void twoThatSaveAtOnceLeaveOneOfBoth() throws Exception {
        Path target = oldOne("raced");
        Thread other = new Thread(() -> {
            try {
                for (int i = 0; i < 20; i++) {
                    save(target, OLD);
                }
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        });
        other.start();
        for (int i = 0; i < 20; i++) {
            save(target, NEW);
        }
        other.join();
        Map<String, String> found = read(target);
        assertTrue(found.equals(OLD) || found.equals(NEW), found.toString());
        assertNotEquals(OLD, NEW);
    }
}
