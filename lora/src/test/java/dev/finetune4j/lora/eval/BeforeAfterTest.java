package dev.finetune4j.lora.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class BeforeAfterTest {
    private static ExamResult result(String name, boolean... right) {
        List<ExamResult.Answer> answers = new ArrayList<>();
        for (int i = 0; i < right.length; i++) {
            answers.add(new ExamResult.Answer("question " + i, "answer", right[i]));
        }
        return new ExamResult(name, answers);
    }

    @Test
    void countsWhatWasLearnedKeptAndMemorised() {
        BeforeAfter verdict = new BeforeAfter(
                result("task", false, false, false, false),
                result("task", true, true, true, false),
                result("general", true, true, false, true),
                result("general", true, false, true, true),
                result("trained", true, true, true, true));
        assertEquals(0.75, verdict.success());
        assertEquals(2.0 / 3, verdict.retention(), 1e-12);
        assertEquals(0.25, verdict.overfitting());
        String table = verdict.table();
        assertTrue(table.contains("3/4  75%") && table.contains("+25%"), table);
    }

    @Test
    void nothingToLoseIsNothingLost() {
        assertEquals(1, result("a", true).retainedFrom(result("b", false)));
        assertEquals(0, result("empty").rate());
    }

    @Test
    void differentQuestionsCannotBeCompared() {
        assertThrows(IllegalArgumentException.class, () -> result("a", true).retainedFrom(result("b", true, true)));
    }
}
