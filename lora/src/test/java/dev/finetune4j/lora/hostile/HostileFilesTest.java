package dev.finetune4j.lora.hostile;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Files that were damaged or made to do harm: every one loads or is refused by an exception of the library, within two
 * seconds and 256 MiB of heap. The system property {@code finetune4j.seed} sets the first seed, and {@code
 * finetune4j.changes} how many there are.
 */
@Tag("slow")
class HostileFilesTest {
    private static final boolean LONG = Boolean.getBoolean("finetune4j.long");
    private static final int SAMPLE = 40;
    private static final int BOMBS = 14;
    private static final int ALL = 20_000;
    private static final int FEWER = 5_000;

    private static final long FIRST = Long.getLong("finetune4j.seed", 0);

    /** A process each, or one for the sample of all. */
    static List<String> settings() {
        List<String> kinds = List.of(
                "config.json,generation_config.json",
                "adapter/adapter_config.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "chat_template.jinja");
        return LONG ? kinds : List.of(String.join(",", kinds));
    }

    @ParameterizedTest
    @MethodSource("settings")
    void damagedSettingsLoadOrAreRefused(String kinds, @TempDir Path folder) throws IOException, InterruptedException {
        assertGood(kinds, ALL, folder, kinds.split(",", -1).length);
    }

    @Test
    void damagedFilesBesideThemLoadOrAreRefused(@TempDir Path folder) throws IOException, InterruptedException {
        assertGood(
                "special_tokens_map.json,added_tokens.json,chat_template.json,model.safetensors.index.json,rows.json,"
                        + "rows.jsonl",
                FEWER,
                folder,
                6);
    }

    @Test
    void bombsAreRefusedSoon(@TempDir Path folder) throws IOException, InterruptedException {
        assertGood("bombs", 1, folder, 1);
    }

    private static void assertGood(String kinds, int all, Path folder, int reports)
            throws IOException, InterruptedException {
        Path written = folder.resolve("written.txt");
        Path saved = Path.of("target", "hostile").toAbsolutePath();
        Path models = folder.resolve("models");
        List<Path> folders = LONG && !kinds.equals("bombs")
                ? HostileFolders.wide(models)
                : List.of(HostileFolders.plain(models.resolve("plain")));
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx256m",
                "-D" + HostileFiles.SAVED + "=" + saved,
                "-Dhostile.show=" + System.getProperty("hostile.show", "false"),
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=off",
                "-XX:ErrorFile=" + saved + "/hs_err.txt",
                "-cp",
                System.getProperty("java.class.path").replace(File.pathSeparator + File.pathSeparator, ""),
                HostileFiles.class.getName(),
                kinds,
                Long.toString(FIRST),
                Integer.toString(count(kinds, all))));
        folders.forEach(path -> command.add(path.toString()));
        Process child = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(written.toFile())
                .start();
        boolean ended = child.waitFor(3, TimeUnit.HOURS);
        child.destroyForcibly();
        String output = Files.readString(written);
        System.out.print(output);
        assertTrue(ended, "hangs after:\n" + output);
        assertEquals(
                List.of(), output.lines().filter(line -> line.startsWith("BAD")).toList(), output);
        assertEquals(
                reports,
                output.lines().filter(line -> line.startsWith("DONE")).count(),
                () -> "ended at " + current(models, saved) + "\n" + output);
    }

    /** Changes of each kind; of bombs, one of so many. */
    private static int count(String kinds, int all) {
        if (kinds.equals("bombs")) {
            return LONG ? 1 : BOMBS;
        }
        return Integer.getInteger("finetune4j.changes", LONG ? all : SAMPLE);
    }

    private static String current(Path models, Path saved) {
        try {
            List<String> lines = Files.readAllLines(models.resolve(HostileFiles.CURRENT));
            return lines.get(1) + ", " + HostileFiles.saved(Path.of(lines.get(0)), saved, lines.get(1));
        } catch (IOException e) {
            return "no case";
        }
    }
}
