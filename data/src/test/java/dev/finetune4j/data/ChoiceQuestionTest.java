package dev.finetune4j.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The CSV files of multiple-choice benchmarks. */
class ChoiceQuestionTest {
    @TempDir
    private Path folder;

    private List<ChoiceQuestion> read(String text) throws IOException {
        Path file = folder.resolve("questions.csv");
        Files.writeString(file, text);
        return ChoiceQuestion.read(file);
    }

    @Test
    void aFileWithAHeaderAsCEvalWritesIt() throws IOException {
        List<ChoiceQuestion> questions = read("""
                \uFEFFid,question,A,B,C,D,answer,explanation
                0,"下列说法，正确的是____",甲,"乙,丙",丁,戊,B,略
                1,一加一等于____,1,2,,,b,
                """);
        assertEquals(
                List.of(
                        new ChoiceQuestion("下列说法，正确的是____", List.of("甲", "乙,丙", "丁", "戊"), 1),
                        new ChoiceQuestion("一加一等于____", List.of("1", "2"), 1)),
                questions);
        assertEquals("一加一等于____\nA. 1\nB. 2\n答案：", questions.get(1).prompt());
    }

    @Test
    void aFileWithoutAHeaderAsMmluWritesIt() throws IOException {
        List<ChoiceQuestion> questions = read("""
                "What is ""2"" + 2?",3,4,4,5,C
                Which is a noble gas?,Neon,Iron,Gold,Tin,A
                """);
        assertEquals(new ChoiceQuestion("What is \"2\" + 2?", List.of("3", "4", "4", "5"), 2), questions.get(0));
        assertEquals(
                "Which is a noble gas?\nA. Neon\nB. Iron\nC. Gold\nD. Tin\nAnswer:",
                questions.get(1).prompt());
    }

    @Test
    void allBadRowsAreNamed() {
        String message = assertThrows(DatasetException.class, () -> read("""
                question,A,B,C,D,answer
                unpublished,1,2,3,4,
                beyond,1,2,,,C
                lonely,1,,,,A
                ,1,2,3,4,A
                """)).getMessage();
        for (String part : List.of("has no answer", "the answer \"C\"", "has 1 choices", "has no question", "line 2")) {
            assertTrue(message.contains(part), message);
        }
        assertThrows(DatasetException.class, () -> ChoiceQuestion.read(folder.resolve("absent.csv")));
        assertThrows(DatasetException.class, () -> read(""));
        assertThrows(IllegalArgumentException.class, () -> new ChoiceQuestion("q", List.of("a", "b"), 2));
    }
}
