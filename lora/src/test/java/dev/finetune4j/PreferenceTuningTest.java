package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.lora.train.DpoSettings;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Preferences by way of the facade. */
class PreferenceTuningTest {
    @TempDir
    private Path folder;

    private static Dataset pairs() {
        return Dataset.of(IntStream.range(0, 6)
                .mapToObj(i -> PreferenceExample.of("question " + i, "good " + i, "bad ".repeat(1 + i % 3) + i))
                .toList());
    }

    private static Dataset judged() {
        return Dataset.of(IntStream.range(0, 6)
                .mapToObj(i -> KtoExample.of("question " + i, (i % 2 == 0 ? "good " : "bad ") + i, i % 2 == 0))
                .toList());
    }

    private FineTuner.Builder tuner(Path model, Dataset dataset) {
        return FineTuner.builder()
                .model(model)
                .dataset(dataset)
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32);
    }

    static Stream<Arguments> objectives() {
        return Stream.of(
                objective("dpo", true, FineTuner.Builder::dpo),
                objective(
                        "robust",
                        true,
                        b -> b.dpo(d -> d.loss(DpoSettings.Loss.ROBUST).labelSmoothing(0.1))),
                objective("hinge", true, b -> b.dpo(d -> d.loss(DpoSettings.Loss.HINGE))),
                objective("ipo", true, b -> b.dpo(d -> d.loss(DpoSettings.Loss.IPO))),
                objective("dpo with sft", true, b -> b.dpo(d -> d.sftWeight(0.5).beta(0.2))),
                objective("dpo in packed rows", true, b -> b.dpo().packing(128)),
                objective("orpo", false, b -> b.orpo(0.5)),
                objective("simpo", false, b -> b.simPo(2, 1)),
                objective("cpo", false, b -> b.cpo(0.1)),
                objective("kto", true, b -> b.kto(0.1, 1, 1.2)));
    }

    private static Arguments objective(String name, boolean fromReference, UnaryOperator<FineTuner.Builder> choice) {
        return Arguments.of(name, fromReference, choice);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("objectives")
    void everyObjectiveIsLearned(String name, boolean fromReference, UnaryOperator<FineTuner.Builder> choice) {
        FineTuner.Builder builder = tuner(
                        Fixtures.tinyChatModel(folder.resolve("model")), name.equals("kto") ? judged() : pairs())
                .lora(l -> l.rank(8))
                .training(t -> t.maxSteps(24)
                        .learningRate(5e-3)
                        .schedule(LearningRateSchedule.constant(), 0)
                        .batchSize(6));
        try (FineTunedModel tuned = choice.apply(builder).train()) {
            TrainingReport report = tuned.report();
            StepReport first = report.steps().get(0);
            StepReport last = report.steps().get(23);
            assertTrue(
                    report.firstRows().tuned() < report.firstRows().base(),
                    report.firstRows().toString());
            assertTrue(
                    last.metrics().get("rewards/chosen") > last.metrics().get("rewards/rejected"),
                    last.metrics().toString());
            if (fromReference) {
                assertEquals(0, first.metrics().get("rewards/chosen"), 1e-5);
                assertEquals(0, first.metrics().get("rewards/rejected"), 1e-5);
            }
            double last4 = report.steps().subList(20, 24).stream()
                    .mapToDouble(step -> step.metrics().get("rewards/chosen"))
                    .average()
                    .orElseThrow();
            assertEquals(last4, report.meanMetrics(4).get("rewards/chosen"), 1e-12);
            assertEquals(last.metrics(), report.meanMetrics(1));
        }
    }

    @Test
    void whatDoesNotGoTogetherFailsBeforeAnythingIsRead() {
        String message = problems(
                tuner(folder, pairs()).full().dpo().trainOn(TrainOn.LAST_ANSWER).truncation(Truncation.PROPORTIONAL));
        assertTrue(
                message.contains("dpo(…) compares with the model as it was, but full()")
                        && message.contains("trainOn(…) is LAST_ANSWER")
                        && message.contains("truncation(PROPORTIONAL)"),
                message);
        assertTrue(problems(tuner(folder, pairs()).lora(l -> {}).orpo(0)).contains("the ORPO weight"));
        message = problems(tuner(folder, pairs())
                .lora(l -> {})
                .dpo(d ->
                        d.beta(0).loss(DpoSettings.Loss.IPO).labelSmoothing(0.1).sftWeight(-1)));
        assertTrue(
                message.contains("beta")
                        && message.contains("IPO has no label smoothing")
                        && message.contains("sftWeight"),
                message);
        assertThrows(
                IllegalStateException.class, () -> tuner(folder, pairs()).dpo().kto(0.1));
    }

    private static String problems(FineTuner.Builder builder) {
        return assertThrows(SettingsException.class, builder::build).getMessage();
    }

    /** A pair is two sequences in memory; the reference is the base itself and computed without gradients. */
    @Test
    void thePlanCountsBothAnswers() {
        Path model = Fixtures.tinyChatModel(folder.resolve("model"));
        long pairs = tuner(model, pairs())
                .lora(l -> {})
                .dpo()
                .training(t -> t.batchSize(4))
                .plan()
                .peak();
        long answers = tuner(model, pairs())
                .lora(l -> {})
                .training(t -> t.batchSize(8))
                .plan()
                .peak();
        assertEquals(answers, pairs);
    }

    @Test
    void rowsOfAnotherKindFailBeforeTheWeightsAreRead() throws IOException {
        Path model = Fixtures.tinyChatModel(folder.resolve("model"));
        Files.writeString(model.resolve("model.safetensors"), "no weights");
        assertTrue(
                rows(tuner(model, judged()).lora(l -> {}).dpo()).contains("is a judged answer, but preferences are"));
        assertTrue(rows(tuner(model, pairs()).lora(l -> {}).kto(0.1)).contains("is a preference pair, but KTO learns"));
        Dataset answers = Dataset.of(List.of(SftExample.of("q", "a")));
        assertTrue(
                rows(tuner(model, answers).lora(l -> {}).simPo(2, 1)).contains("is a conversation, but preferences"));
        assertTrue(rows(tuner(model, pairs()).lora(l -> {})).contains("dpo(…)"));
    }

    private static String rows(FineTuner.Builder builder) {
        return assertThrows(DatasetException.class, builder::train).getMessage();
    }
}
