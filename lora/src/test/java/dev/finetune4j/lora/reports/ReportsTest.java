package dev.finetune4j.lora.reports;

import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.finetune4j.lora.reports.ReportRules.Rule;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every input of the collection comes out as its expected.json says; one that no rule covers fails. The system property
 * {@code finetune4j.reports} names another folder of the same layout.
 */
class ReportsTest {
    static List<ReportFolder> folders() {
        return ReportFolder.selected();
    }

    @Test
    void thereAreInputs() {
        assertFalse(folders().isEmpty(), () -> "no folders in " + ReportFolder.root());
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("folders")
    void comesOutAsItShould(ReportFolder report, @TempDir Path scratch) throws Exception {
        List<Rule> rules = ReportRules.of(report);
        assertFalse(rules.isEmpty(), () -> report + ": no rule covers what expected.json states: " + report.expected());
        Path folder = report.complete(Files.createDirectory(scratch.resolve("input")));
        for (Rule rule : rules) {
            try {
                rule.check().run(report, folder);
            } catch (Exception | AssertionError e) {
                throw new AssertionError(report + " (" + rule.name() + "): " + e.getMessage(), e);
            }
        }
    }
}
