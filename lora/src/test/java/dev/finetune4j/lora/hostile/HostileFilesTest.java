package dev.finetune4j.lora.hostile;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.lora.Fixtures;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Settings files that were damaged or made to do harm: every one loads or is refused by an exception of the library, within
 * two seconds and 256 MiB of heap.
 */
class HostileFilesTest {
    /** Changes of each kind of file: a sample, or all. */
    private static final int CHANGES = Boolean.getBoolean("finetune4j.long") ? 20_000 : 150;

    private static final long FIRST = Long.getLong("finetune4j.seed", 0);

    @Test
    void damagedFilesLoadOrAreRefused(@TempDir Path folder) throws IOException, InterruptedException {
        assertGood(String.join(",", Bombs.FILES), folder, Bombs.FILES.size());
    }

    @Test
    void bombsAreRefusedSoon(@TempDir Path folder) throws IOException, InterruptedException {
        assertGood("bombs", folder, 1);
    }

    private static void assertGood(String kinds, Path folder, int reports) throws IOException, InterruptedException {
        Path written = folder.resolve("written.txt");
        Path model = folder(folder.resolve("model"));
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx256m",
                        "-Dorg.slf4j.simpleLogger.defaultLogLevel=off",
                        "-cp",
                        System.getProperty("java.class.path").replace(File.pathSeparator + File.pathSeparator, ""),
                        HostileFiles.class.getName(),
                        kinds,
                        Long.toString(FIRST),
                        Long.toString(CHANGES),
                        model.toString())
                .redirectErrorStream(true)
                .redirectOutput(written.toFile())
                .start();
        boolean ended = child.waitFor(3, TimeUnit.HOURS);
        child.destroyForcibly();
        String output = Files.readString(written);
        System.out.print(output);
        assertTrue(ended, "hangs after:\n" + output);
        List<String> bad = new ArrayList<>(
                output.lines().filter(line -> line.startsWith("BAD")).toList());
        assertEquals(List.of(), bad, output);
        assertEquals(
                reports,
                output.lines().filter(line -> line.startsWith("DONE")).count(),
                () -> "ended at " + current(model) + "\n" + output);
    }

    private static String current(Path model) {
        try {
            return Files.readString(model.resolve(HostileFiles.CURRENT));
        } catch (IOException e) {
            return "no case";
        }
    }

    /** A complete model with an adapter and rows. */
    static Path folder(Path folder) throws IOException {
        Fixtures.tinyChatModel(folder);
        Path adapter = Files.createDirectories(folder.resolve("adapter"));
        Files.copy(Fixtures.reference("models/llama/generation_config.json"), folder.resolve("generation_config.json"));
        for (String name : List.of("adapter_config.json", "adapter_model.safetensors")) {
            Files.copy(Fixtures.reference("adapters/lora").resolve(name), adapter.resolve(name));
        }
        Fixtures.alpaca(folder.resolve("rows.json"), "b", "a", "c");
        return folder;
    }
}
