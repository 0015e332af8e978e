package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The code of docs/evaluation.md compiles, runs, and does what the page says. */
class EvaluationGuideTest {
    private static final String BEFORE = """
        Path model = Path.of(args[0]);
        Path folder = Path.of(args[2]);
        Path csv = Path.of(args[3]);
        Dataset.Split parts = Dataset.read(Path.of(args[1]))
                .bind(Map.of("name", "张三", "author", "某某公司")).split(0.1, 42);
        FineTunedModel tuned = FineTuner.builder().model(model).qlora(q -> q.rank(16).alpha(32))
                .dataset(parts.train()).evaluation(parts.heldOut())
                .training(t -> t.epochs(3).batchSize(8).learningRate(1e-3).evaluationSteps(10))
                .device(ComputeDevice.cpu())
                .train();
        GenerationSettings SHORT = GenerationSettings.builder().maxNewTokens(64).build();
        """;

    @TempDir
    private Path folder;

    @Test
    void theCodeOfThePageRuns() throws Exception {
        List<String> blocks = Snippets.blocks("docs/evaluation.md");
        assertEquals(4, blocks.size(), "a comparison, other tasks, exams, rules of one's own");
        Path csv = folder.resolve("exam.csv");
        Files.writeString(csv, """
                id,question,A,B,C,D,answer
                0,法国的首都是哪里,巴黎,北京,东京,伦敦,A
                1,日本的首都是哪里,巴黎,北京,东京,伦敦,C
                """);
        Path report = folder.resolve("report");
        List<String> lines = Snippets.run(
                folder,
                BEFORE + String.join("\n", blocks) + "tuned.close();",
                Bundled.baseModel().toString(),
                Bundled.identityDataset().toString(),
                report.toString(),
                csv.toString());
        assertTrue(lines.get(0).matches("learned \\d+ %, kept \\d+ %"), lines.get(0));
        assertEquals("50.0", lines.get(1), "two of 5 and 3 words in a row");
        assertTrue(lines.get(2).matches("[0-2] of 2, Interval\\[low=.*method=WILSON]"), lines.get(2));
        assertEquals("1.0", lines.get(3), "the new names are preferred");
        assertTrue(lines.get(4).startsWith("5: {exam/who it is, unseen phrasings="), lines.get(4));
        assertTrue(lines.get(6).matches("STOPPED after (4|8|12)"), lines.get(6));
        assertTrue(Files.exists(report.resolve("best").resolve("adapter_model.safetensors")));
        for (String file : List.of("evaluation.json", "evaluation.md", "evaluation.html")) {
            assertTrue(Files.size(report.resolve(file)) > 1000, file);
        }
        assertTrue(Files.readString(report.resolve("evaluation.html")).contains("训练损失曲线"));
    }
}
