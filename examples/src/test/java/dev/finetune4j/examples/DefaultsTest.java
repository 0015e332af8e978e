package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Twenty rows of a domain of which the bundled model knows nothing: with default settings it learns them, or says why not. */
class DefaultsTest {
    private static Path file(String name) {
        return TestData.resource("dev/finetune4j/examples/" + name);
    }

    private static FineTuner.Builder tuner(Dataset rows) {
        return FineTuner.builder().model(Bundled.baseModel()).dataset(rows);
    }

    private static long right(FineTunedModel tuned, Dataset rows) {
        return rows.examples().stream()
                .filter(row -> tuned.ask(row.texts().get(0)).equals(row.texts().get(1)))
                .count();
    }

    @Test
    void whatTheDefaultsDoNotTeachIsSaid() {
        Dataset rows = Dataset.read(file("cooking-questions.json"));
        try (FineTunedModel tuned = tuner(rows).qlora().train()) {
            assertEquals(60, tuned.report().steps().size());
            List<String> warnings = tuned.report().warnings();
            if (right(tuned, rows) < 0.9 * rows.size()) {
                assertEquals(1, warnings.size(), warnings.toString());
                String warning = warnings.get(0);
                assertTrue(warning.startsWith("of the 20 rows of the data set the model answers only about "), warning);
                assertTrue(warning.contains("raise epochs "), warning);
            } else {
                assertEquals(List.of(), warnings);
            }
        }
    }

    @Test
    void whatTheWarningAdvisesHelps() {
        Dataset rows = Dataset.read(file("shop-questions.json"));
        try (FineTunedModel tuned =
                tuner(rows).qlora().training(t -> t.epochs(70)).train()) {
            long right = right(tuned, rows);
            assertTrue(right >= 0.9 * rows.size(), right + " of 20 answers are right");
            assertEquals(List.of(), tuned.report().warnings());
        }
    }
}
