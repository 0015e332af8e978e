package dev.finetune4j.core.text.jinja;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.testsupport.TemplateBombs;
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

/** No template takes more than two seconds of a processor or 256 MiB of heap, whatever it asks for. */
@Tag("slow")
class JinjaBombsTest {
    private static final int MAX_MILLIS = 2_000;

    @Test
    void everyTemplateEndsSoonAndInASmallHeap(@TempDir Path folder) throws IOException, InterruptedException {
        Path written = folder.resolve("written.txt");
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx256m",
                        "-cp",
                        System.getProperty("java.class.path").replace(File.pathSeparator + File.pathSeparator, ""),
                        JinjaBombs.class.getName())
                .redirectErrorStream(true)
                .redirectOutput(written.toFile())
                .start();
        boolean ended = child.waitFor(180, TimeUnit.SECONDS);
        child.destroyForcibly();
        String output = Files.readString(written);
        assertTrue(ended, "hangs after:\n" + output);
        List<String> bad = new ArrayList<>();
        List<String> lines = output.lines().toList();
        for (String line : lines) {
            String[] parts = line.split("\t", 4);
            boolean good = parts.length == 4
                    && (parts[2].equals("ok") || parts[2].equals("JinjaException"))
                    && Integer.parseInt(parts[1]) <= MAX_MILLIS;
            if (!good) {
                bad.add(line);
            }
        }
        assertEquals(List.of(), bad);
        assertEquals(TemplateBombs.all().size(), lines.size());
    }
}
