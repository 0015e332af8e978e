package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.testsupport.Needs;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The builder's memory plan against the memory that a process takes on the CPU, for methods, optimizers and objectives; all of them
 * with {@code -Dfinetune4j.long=true}.
 */
@Tag("slow")
class PlanRealityTest {
    private static final Pattern CELL = Pattern.compile(
            "cell (\\S+) planned ([\\d.]+) MiB measured ([\\d.]+) MiB ratio [\\d.]+ checkpoint ([\\d.]+) MiB");
    private static final List<String> SAMPLE =
            List.of("full/adamw_8bit/sft", "lora/adamw_torch/dpo", "freeze/adamw_torch/sft/checkpoints");

    @TempDir
    private Path folder;

    @Test
    void thePlanIsWithinFifteenPercent() throws IOException, InterruptedException {
        Needs.that(Files.isReadable(Path.of("/proc/self/status")), "the memory of a process is read from /proc");
        List<String> cells = Boolean.getBoolean("finetune4j.long") ? PlannedTrainings.cells() : SAMPLE;
        List<String> wrong = new ArrayList<>();
        int count = 0;
        for (String line : run(cells)) {
            Matcher cell = CELL.matcher(line);
            if (cell.matches()) {
                count++;
                double planned = Double.parseDouble(cell.group(2));
                double measured = Double.parseDouble(cell.group(3));
                // Where a step takes longer than writing, the copy of a checkpoint is gone before the next step's peak.
                double atLeast = planned - Double.parseDouble(cell.group(4));
                if (planned < 0.85 * measured || atLeast > 1.15 * measured) {
                    wrong.add(line);
                }
            }
        }
        assertEquals(cells.size(), count);
        assertTrue(wrong.isEmpty(), String.join("\n", wrong));
    }

    private List<String> run(List<String> cells) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xms256m",
                "-Xmx256m",
                "-XX:+AlwaysPreTouch",
                "-cp",
                System.getProperty("java.class.path"),
                PlannedTrainings.class.getName(),
                folder.toString(),
                "cpu"));
        command.addAll(cells);
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD);
        // What is freed goes back to the system.
        builder.environment().put("MALLOC_MMAP_THRESHOLD_", "65536");
        Process child = builder.start();
        try (BufferedReader printed = child.inputReader()) {
            List<String> lines = printed.lines().toList();
            assertEquals(0, child.waitFor(), String.join("\n", lines));
            return lines;
        } finally {
            child.destroyForcibly();
        }
    }
}
