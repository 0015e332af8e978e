package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TrainOn;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What people have becomes a training in one line: the export of a spreadsheet, that of chats, a folder of texts. */
class DataSourcesTest {
    @TempDir
    private Path folder;

    private Path model;

    @BeforeEach
    void makeModel() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
    }

    private FineTuner.Builder builder() {
        return FineTuner.builder()
                .model(model)
                .lora(l -> l.rank(2))
                .training(t -> t.maxSteps(2).batchSize(2));
    }

    private DataReport train(Path data) {
        try (FineTunedModel tuned = builder().dataset(data).train()) {
            assertEquals(2, tuned.report().steps().size());
            return Objects.requireNonNull(tuned.report().data());
        }
    }

    private static String learned(DataReport report) {
        return report.preview().get(0).pieces().stream()
                .filter(DataReport.Piece::learned)
                .map(DataReport.Piece::text)
                .collect(Collectors.joining());
    }

    @Test
    void aSpreadsheet() throws IOException {
        Path table = Files.writeString(
                folder.resolve("questions.csv"),
                "\uFEFFinstruction;output;remark\r\n\"Who; are \"\"you\"\"?\";a tool;\r\nWhat?;this;x\r\n;;\r\n");
        DataReport report = train(table);
        assertEquals(2, report.rows());
        assertTrue(learned(report).startsWith("a tool"), learned(report));
    }

    @Test
    void anExportOfChats() throws IOException {
        Path chats = Files.writeString(folder.resolve("chats.jsonl"), """
                {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
                {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}
                """);
        DataReport report = train(chats);
        assertEquals(2, report.rows());
        assertEquals(3, report.answers());
    }

    @Test
    void aFolderOfTexts() throws IOException {
        Path notes = Files.createDirectories(folder.resolve("notes/deep"));
        Files.writeString(notes.resolve("a.txt"), "one two three");
        Files.writeString(notes.resolveSibling("b.md"), "# four\n\nfive six");
        DataReport report = train(notes.getParent());
        assertEquals(2, report.rows());
        assertEquals(0, report.answers());
        assertTrue(report.targetTokens() > 0);
    }

    @Test
    void theReportIsThereBeforeTheTraining() {
        Dataset rows = Dataset.of(List.of(SftExample.of("hi", "hello")));
        DataReport answers = builder().dataset(rows).build().dataReport();
        DataReport all =
                builder().dataset(rows).trainOn(TrainOn.EVERYTHING).build().dataReport();
        assertEquals(1, answers.rows());
        assertTrue(all.targetTokens() > answers.targetTokens());
        assertEquals(all.totalTokens() - 1, all.targetTokens(), "all but the first token are predicted");
    }
}
