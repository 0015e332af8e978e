package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every number of the reference collection against ours; nothing is skipped. The system property
 * {@code finetune4j.reference} names another collection of the same layout.
 */
class ReferenceParityTest {
    private static final ReferenceCollection COLLECTION = ReferenceCollection.of(ReferenceFolder.selected());

    /** What was compared, by kind. */
    private static final Map<String, Tally> TALLIES = new LinkedHashMap<>();

    private static final class Tally {
        private final Closeness closeness = new Closeness();
        private int cases;
        private int passed;
    }

    static List<ReferenceCase> cases() {
        return COLLECTION.cases();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void isAsInTheReference(ReferenceCase one) {
        Tally tally = TALLIES.computeIfAbsent(one.kind(), kind -> new Tally());
        tally.cases++;
        Closeness closeness = new Closeness();
        try {
            one.check().run(closeness);
            tally.passed++;
        } catch (Exception | AssertionError e) {
            throw new AssertionError(one + ": " + e.getMessage(), e);
        } finally {
            tally.closeness.add(closeness);
        }
    }

    @Test
    void everyEntryOfTheFolderHasACase() {
        assertFalse(COLLECTION.cases().isEmpty(), () -> "no cases in " + COLLECTION.folder());
        assertAll(
                () -> assertEquals(List.of(), COLLECTION.uncovered(), "entries that no case reads"),
                () -> assertEquals(
                        List.of(), COLLECTION.missing(), "entries of the collection's report without a case"));
    }

    @AfterAll
    static void report(TestReporter reporter) {
        System.out.println("reference numbers in " + COLLECTION.folder().root());
        int cases = 0;
        int passed = 0;
        for (Map.Entry<String, Tally> entry : TALLIES.entrySet()) {
            Tally tally = entry.getValue();
            cases += tally.cases;
            passed += tally.passed;
            String line = tally.passed + " of " + tally.cases + " cases passed";
            System.out.println("  " + entry.getKey() + ": " + line + errors(tally.closeness));
            reporter.publishEntry(entry.getKey(), line);
        }
        System.out.println("  in total: " + passed + " of " + cases + " cases passed");
        reporter.publishEntry("in total", passed + " of " + cases + " cases passed");
    }

    private static String errors(Closeness closeness) {
        StringBuilder text = new StringBuilder();
        closeness
                .largest()
                .forEach((quantity, error) -> text.append(text.length() == 0 ? "; largest errors: " : ", ")
                        .append(quantity)
                        .append(' ')
                        .append(String.format(Locale.ROOT, "%.1e", error)));
        return text.toString();
    }
}
