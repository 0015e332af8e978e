package dev.finetune4j.lora.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.testsupport.TestData;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What an evaluation counts and says, of models whose answers are made up. */
class EvaluationTest {
    private static EvalTask task(String name, int questions) {
        return EvalTask.questions(
                name,
                IntStream.range(0, questions)
                        .mapToObj(i -> EvalCase.of(name + " " + i, AnswerMetric.exactMatch(), "right"))
                        .toList());
    }

    /** Right are those questions that the set has. */
    private static FakeModel knowing(Set<String> known) {
        return FakeModel.answering(question -> known.contains(question) ? "right" : "wrong <b>");
    }

    private static final Set<String> BASE = Set.of("general 0", "general 1", "general 3");
    private static final Set<String> TUNED = Set.of(
            "task 0",
            "task 1",
            "task 2",
            "general 0",
            "general 2",
            "general 3",
            "trained 0",
            "trained 1",
            "trained 2",
            "trained 3");

    private static Evaluation.Builder evaluation() {
        return Evaluation.builder()
                .title("A <new> task")
                .task(task("task", 4))
                .general(task("general", 4))
                .trained(task("trained", 4));
    }

    @Test
    void countsWhatWasLearnedKeptAndMemorised() {
        EvalReport report = evaluation().build().compare(knowing(BASE), knowing(TUNED));
        assertEquals(0.75, report.success());
        assertEquals(2.0 / 3, report.retention(), 1e-12);
        assertEquals(0.25, report.overfitting());
        EvalResult.Interval kept = report.retentionInterval().orElseThrow();
        assertEquals(0.2077, kept.low(), 1e-4, "two of three");
        assertEquals(0.9385, kept.high(), 1e-4);
        EvalResult.Interval memorised = report.overfittingInterval().orElseThrow();
        assertTrue(memorised.low() < 0 && memorised.high() > 0.25, memorised.toString());
        Comparison general = report.of("general");
        assertEquals(3, general.base().correct());
        assertEquals(1, general.test().better());
        assertEquals(1, general.test().worse());
        assertEquals(1, general.test().pValue());
        assertEquals(0.125, report.of("trained").test().pValue(), 1e-12, "four of four: 2 / 2^4");
        assertTrue(report.isPassed(), "without thresholds");
        assertThrows(IllegalArgumentException.class, () -> report.of("unheard of"));
    }

    @Test
    void thresholdsFailAUnitTestWithWhatWasFound() {
        EvalReport report = evaluation()
                .minSuccess(0.75)
                .minRetention(0.9)
                .maxOverfitting(0.2)
                .atLeast("trained", 1)
                .improved("trained", 0.05)
                .build()
                .compare(knowing(BASE), knowing(TUNED));
        assertEquals(
                List.of(true, false, false, true, false),
                report.checks().stream().map(EvalReport.Check::isPassed).toList());
        String refusal =
                assertThrows(FineTune4jException.class, report::requirePassed).getMessage();
        assertEquals(
                "the model did not keep to its thresholds: General ability retained at least 90 %; found 67 %;"
                        + " Over-fitting at most +20 points; found +25 points; trained: better than the base, p at most"
                        + " 0.050; found 0.125",
                refusal);
        evaluation()
                .minSuccess(0.7)
                .build()
                .compare(knowing(BASE), knowing(TUNED))
                .requirePassed();
    }

    @Test
    void whatCannotWorkIsRefusedTogether() {
        List<String> problems = assertThrows(
                        SettingsException.class,
                        () -> Evaluation.builder()
                                .general(EvalTask.perplexity("x", Dataset.of(List.of(TextExample.of("text")))))
                                .also(task("x", 1))
                                .minSuccess(1)
                                .maxOverfitting(0)
                                .atMost("y", 1)
                                .build())
                .problems();
        assertEquals(6, problems.size(), problems.toString());
        assertThrows(SettingsException.class, () -> Evaluation.builder().build());
        assertThrows(IllegalArgumentException.class, () -> EvalTask.questions("none", List.of()));
        assertThrows(
                IllegalArgumentException.class,
                () -> EvalTask.questions(
                        "mixed",
                        List.of(
                                EvalCase.of("a", AnswerMetric.contains(), "x"),
                                EvalCase.of("b", AnswerMetric.regex(), "x"))));
        assertThrows(IllegalArgumentException.class, () -> EvalCase.of("a", AnswerMetric.contains()));
    }

    @Test
    void rulesJudgeAnswers() {
        assertEquals(1, AnswerMetric.exactMatch().of(" Paris\n", "London", "Paris"));
        assertEquals(0, AnswerMetric.exactMatch().of("paris", "Paris"));
        assertEquals(1, AnswerMetric.contains().of("It is PARIS.", "paris"));
        assertEquals(1, AnswerMetric.regex().of("答案是 42。", "\\b4\\d\\b"));
        assertEquals(50, AnswerMetric.score("half", (answer, references) -> 0.5).of("any"));
        EvalResult judged = AnswerMetric.contains()
                .judge("capitals", List.of("Paris", "no"), List.of(List.of("Paris"), List.of("London")));
        assertEquals(0.5, judged.value());
        assertEquals(EvalResult.Interval.Method.WILSON, judged.interval().method());
    }

    private static List<TokenLogprob> tokens(double... logProbabilities) {
        List<TokenLogprob> tokens = new ArrayList<>();
        for (double each : logProbabilities) {
            tokens.add(new TokenLogprob(tokens.size(), "", each, List.of()));
        }
        return tokens;
    }

    @Test
    void perplexityIsThatOfAllTokensTogether() {
        Dataset texts = Dataset.of(List.of(TextExample.of("short"), TextExample.of("a longer one")));
        FakeModel model =
                FakeModel.scoring(example -> example.texts().get(0).equals("short") ? tokens(-1) : tokens(-2, -3, -4));
        EvalResult result = EvalTask.perplexity("texts", texts).run(model);
        assertEquals(Math.exp(10.0 / 4), result.value(), 1e-12);
        assertEquals(Math.exp(3), result.items().get(1).score(), 1e-12);
        assertEquals(EvalResult.Interval.Method.BOOTSTRAP, result.interval().method());
        EvalReport report = Evaluation.builder()
                .also(EvalTask.perplexity("texts", texts))
                .build()
                .compare(model, model);
        assertEquals(0, report.of("texts").difference());
        assertEquals(1, report.of("texts").test().pValue());
    }

    @Test
    void preferencesCompareSums() {
        Dataset pairs =
                Dataset.of(List.of(PreferenceExample.of("q", "good", "bad"), PreferenceExample.of("q", "bad", "good")));
        FakeModel model =
                FakeModel.scoring(example -> example.texts().get(1).equals("good") ? tokens(-1, -1) : tokens(-0.5, -2));
        EvalResult result = EvalTask.preferences("pairs", pairs).run(model);
        assertEquals(0.5, result.value());
        assertEquals("good (+0.50)", result.items().get(0).answer());
        assertThrows(
                IllegalArgumentException.class,
                () -> EvalTask.preferences("pairs", Dataset.of(List.of(SftExample.of("q", "a")))));
    }

    @Test
    void aChoiceIsMadeByTheTokensInWhichTheAnswersDiffer() {
        List<TokenLogprob> first = List.of(
                new TokenLogprob(7, "", -9, List.of()),
                new TokenLogprob(1, "", -2, List.of()),
                new TokenLogprob(8, "", -0.1, List.of()));
        List<TokenLogprob> second = List.of(
                new TokenLogprob(7, "", -9, List.of()),
                new TokenLogprob(2, "", -1, List.of()),
                new TokenLogprob(8, "", -5, List.of()));
        assertEquals(1, ChoiceTask.likeliest(List.of(first, second)), "the end does not count");
        assertEquals(0, ChoiceTask.likeliest(List.of(first, first)), "the first of equals");
    }

    @Test
    void theBootstrapOfBleuIsThatOfTheCorpus() {
        EvalResult result = AnswerMetric.bleu(Segmenter.mteval13a())
                .judge(
                        "translations",
                        List.of("the cat sat on the mat", "a dog", "it rains in the evening"),
                        List.of(
                                List.of("the cat sat on a mat"),
                                List.of("a dog barks"),
                                List.of("it rains in the evening")));
        EvalResult.Interval interval = result.interval(5);
        assertTrue(interval.low() <= result.value() && result.value() <= interval.high(), interval.toString());
        assertEquals(interval, result.interval(5));
    }

    @Test
    void thePageHoldsNothingButItself(@TempDir Path folder) throws Exception {
        EvalReport report = evaluation().minSuccess(0.7).build().compare(knowing(BASE), knowing(TUNED));
        report.save(folder, Locale.CHINA);
        String page = Files.readString(folder.resolve("evaluation.html"));
        assertTrue(page.contains("lang=\"zh\"") && page.contains("✓ 通过"), page);
        assertTrue(report.html(Locale.FRENCH).contains("✓ Passed"));
        assertTrue(page.contains("A &lt;new&gt; task") && page.contains("wrong &lt;b&gt;"), "texts are escaped");
        for (String forbidden : List.of("<script", "style=\"", "href=", "src=", "url(", "http:", "https:", "@import")) {
            assertFalse(page.contains(forbidden), forbidden);
        }
        Matcher style = Pattern.compile("<style>(.*?)</style>", Pattern.DOTALL).matcher(page);
        assertTrue(style.find());
        String hash = Base64.getEncoder()
                .encodeToString(MessageDigest.getInstance("SHA-256")
                        .digest(style.group(1).getBytes(StandardCharsets.UTF_8)));
        assertTrue(page.contains("style-src 'sha256-" + hash + "'"), "the policy allows this style sheet alone");
    }

    @Test
    void jsonAndMarkdownSayTheSame(@TempDir Path folder) {
        EvalReport report = evaluation().minSuccess(0.8).build().compare(knowing(BASE), knowing(TUNED));
        JsonNode json = TestData.parse(report.json());
        assertFalse(json.path("passed").asBoolean());
        assertEquals(0.75, json.path("success").asDouble());
        assertEquals(0.2077, json.path("retention_low").asDouble(), 1e-4);
        assertEquals(3, json.path("tasks").size());
        assertEquals(
                "mcnemar", json.path("tasks").get(1).path("test").path("method").asText());
        assertEquals(4, json.path("tasks").get(1).path("items").size());
        String markdown = report.markdown(Locale.ENGLISH);
        assertTrue(markdown.contains("# A \\<new> task"), markdown);
        assertTrue(markdown.contains("- ✗ Task learned at least 80 %; found 75 %"), markdown);
        assertTrue(markdown.contains("| general | exact match | 4 | 75 % (30–95 %) | 75 % (30–95 %) |"), markdown);
        assertTrue(report.markdown(Locale.CHINESE).contains("任务成功率 不低于 80 %"));
    }
}
