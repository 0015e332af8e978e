package dev.finetune4j.testsupport;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.opentest4j.AssertionFailedError;
import org.opentest4j.TestAbortedException;

/** That what is missing is skipped with its reason, or fails where it is required, and that no test goes round that. */
class NeedsTest {
    private static final Pattern OWN_SKIP = Pattern.compile(
            "\\bAssumptions\\b|\\bTestAbortedException\\b|@Disabled\\b|@EnabledIf(?!SystemProperty)|@DisabledIf");

    @Test
    void whatIsMissingIsSkippedUnlessItIsRequired() {
        Needs.check(Set.of("gpu"), Needs.Thing.GPU, true, "unused");
        TestAbortedException skipped = assertThrows(
                TestAbortedException.class, () -> Needs.check(Set.of("shared"), Needs.Thing.GPU, false, "no GPU"));
        assertEquals("no GPU", skipped.getMessage());
        AssertionFailedError failed = assertThrows(
                AssertionFailedError.class,
                () -> Needs.check(Set.of("shared", "cpu"), Needs.Thing.CPU, false, "no kernels"));
        assertEquals("no kernels, but -Dfinetune4j.require lists cpu", failed.getMessage());
    }

    @Test
    void theReportNamesTheMostFrequentReasonFirst() {
        assertEquals(
                "skipped: 6 — no GPU (3), a rare reason (2), another (1)",
                SkipReport.line(Map.of("another", 1L, "no GPU", 3L, "a rare reason", 2L)));
    }

    @Test
    void everySkipGoesThroughThisClass() throws IOException {
        Path root = Path.of("").toAbsolutePath();
        while (!Files.isDirectory(root.resolve("lora/src/test/java"))) {
            root = root.getParent();
        }
        List<String> found = new ArrayList<>();
        int read = 0;
        for (String module : List.of("core", "quant", "data", "lora", "examples", "benchmarks")) {
            try (Stream<Path> files = Files.walk(root.resolve(module).resolve("src/test/java"))) {
                for (Path file : files.filter(path -> path.toString().endsWith(".java"))
                        .filter(path -> !path.endsWith("NeedsTest.java"))
                        .toList()) {
                    read++;
                    if (OWN_SKIP.matcher(Files.readString(file)).find()) {
                        found.add(root.relativize(file).toString());
                    }
                }
            }
        }
        assertTrue(read > 100, "test sources");
        assertEquals(List.of(), found, "these skip by themselves; Needs can turn a skip into a failure");
    }
}
