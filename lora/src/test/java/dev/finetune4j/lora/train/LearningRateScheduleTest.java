package dev.finetune4j.lora.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.lora.train.LearningRateSchedule.Span;
import dev.finetune4j.testsupport.TestData;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class LearningRateScheduleTest {
    /** One course of transformers' get_scheduler. */
    record Course(String name, JsonNode args, Span span, JsonNode rates) {}

    static Stream<Named<Course>> courses() {
        List<Course> courses = new ArrayList<>();
        JsonNode more = TestData.json(TestData.resource("train/schedules.json"));
        more.path("cases")
                .forEach(row -> courses.add(
                        new Course(row.path("name").asText(), row.path("args"), span(row), row.path("lr"))));
        return courses.stream()
                .map(course -> Named.of(course.name() + " " + course.args() + " " + course.span(), course));
    }

    private static Span span(JsonNode row) {
        return new Span(
                row.path("warmup").asInt(),
                row.path("steps").asInt(),
                row.path("base_lr").asDouble());
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("courses")
    void hasTheValuesOfTransformers(Course course) {
        LearningRateSchedule schedule = ScheduleNames.schedule(course.name(), course.args());
        assertEquals(List.of(), schedule.problems(course.span()));
        assertTrue(course.rates().size() >= course.span().totalSteps());
        for (int step = 0; step < course.rates().size(); step++) {
            double expected = course.rates().get(step).asDouble();
            double rate = course.span().peak() * schedule.factor(step, course.span());
            assertEquals(expected, rate, 1e-12 * expected + 1e-19, "step " + step);
        }
    }

    @Test
    void everyCourseIsCounted(TestReporter reporter) {
        long cases = courses().count();
        reporter.publishEntry("learning rate courses compared", Long.toString(cases));
        assertEquals(75, cases);
    }

    static Stream<Arguments> wrongParameters() {
        return Stream.of(
                wrong("cycles", () -> new LearningRateSchedule.Cosine(Double.NaN)),
                wrong("cycles", () -> LearningRateSchedule.cosineWithRestarts(0)),
                wrong("power", () -> LearningRateSchedule.polynomial(0, 0)),
                wrong("end", () -> LearningRateSchedule.polynomial(1, -1)),
                wrong("timescale", () -> new LearningRateSchedule.InverseSqrt(OptionalInt.of(0))),
                wrong("share", () -> LearningRateFloor.share(1.5)),
                wrong("lowest", () -> LearningRateFloor.rate(-1e-6)),
                wrong(
                        "warmupStart",
                        () -> new LearningRateSchedule.CosineWarmupWithMinimum(
                                LearningRateFloor.share(0.1), 0.5, OptionalDouble.of(2))),
                wrong("decaySteps", () -> LearningRateSchedule.warmupStableDecay(0)),
                wrong("stableSteps", () -> WarmupStableDecay.of(3).withStableSteps(-1)),
                wrong("minimumShare", () -> WarmupStableDecay.of(3).withMinimumShare(-0.1)));
    }

    private static Arguments wrong(String name, Executable making) {
        return Arguments.of(name, making);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("wrongParameters")
    void aWrongParameterIsNamed(String name, Executable making) {
        String message = assertThrows(SettingsException.class, making).getMessage();
        assertTrue(message.contains(name), message);
    }

    @Test
    void aScheduleThatDoesNotFitTheTrainingIsRefused() {
        assertRefused("not below the learning rate", LearningRateSchedule.polynomial(1, 0.1), 0.1);
        assertRefused(
                "above the learning rate", LearningRateSchedule.cosineWithMinimum(LearningRateFloor.rate(1e-3)), 0.1);
        assertRefused("13 steps", LearningRateSchedule.warmupStableDecay(11), 0.2);
        assertRefused("no warm-up", LearningRateSchedule.constant(), 0.1);
    }

    private static void assertRefused(String reason, LearningRateSchedule schedule, double warmupRatio) {
        TrainingSettings.Builder settings =
                TrainingSettings.builder().maxSteps(10).learningRate(2e-4).schedule(schedule, warmupRatio);
        String message = assertThrows(SettingsException.class, settings::build).getMessage();
        assertTrue(message.contains(reason), message);
    }

    @Test
    void whatANameDoesNotUnderstandIsSaid() {
        assertEquals(LearningRateSchedule.cosine(), LearningRateSchedule.named("cosine"));
        assertTrue(refusal("cosin", Map.of())
                .contains("there is no learning rate schedule 'cosin'; known are [constant,"));
        String several = refusal("polynomial", Map.of("power", "two", "end", 0));
        assertTrue(several.contains("polynomial has power 'two', but it must be a number"), several);
        assertTrue(several.contains("polynomial has no argument 'end'; it knows [lr_end, power]"), several);
        assertTrue(refusal("cosine_with_min_lr", Map.of()).contains("needs either min_lr"));
        assertTrue(refusal("warmup_stable_decay", Map.of()).contains("needs num_decay_steps"));
        assertTrue(refusal("cosine_with_restarts", Map.of("num_cycles", 1.5)).contains("must be a whole number"));
        assertTrue(refusal("cosine", Map.of("num_cycles", 0)).contains("must be above 0"));
    }

    private static String refusal(String name, Map<String, ?> arguments) {
        return assertThrows(SettingsException.class, () -> LearningRateSchedule.named(name, arguments))
                .getMessage();
    }
}
