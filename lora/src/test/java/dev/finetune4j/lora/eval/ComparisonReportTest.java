package dev.finetune4j.lora.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ComparisonReportTest {
    private static EvalResult result(String name, boolean... correct) {
        List<EvalResult.Answer> answers = new ArrayList<>();
        for (int i = 0; i < correct.length; i++) {
            answers.add(new EvalResult.Answer("question " + i, "answer", correct[i]));
        }
        return new EvalResult(name, answers);
    }

    @Test
    void countsWhatWasLearnedKeptAndMemorised() {
        ComparisonReport report = new ComparisonReport(
                result("task", false, false, false, false),
                result("task", true, true, true, false),
                result("general", true, true, false, true),
                result("general", true, false, true, true),
                result("trained", true, true, true, true));
        assertEquals(0.75, report.success());
        assertEquals(2.0 / 3, report.retention(), 1e-12);
        assertEquals(0.25, report.overfitting());
        String table = report.table();
        assertTrue(table.contains("3/4  75%") && table.contains("+25%"), table);
    }

    @Test
    void nothingToLoseIsNothingLost() {
        assertEquals(1, result("a", true).retainedFrom(result("b", false)));
        assertEquals(0, result("empty").accuracy());
    }

    @Test
    void differentQuestionsCannotBeCompared() {
        assertThrows(IllegalArgumentException.class, () -> result("a", true).retainedFrom(result("b", true, true)));
    }
}
