package dev.finetune4j.lora.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.lora.Fixtures;
import dev.finetune4j.lora.train.LearningRateSchedule.Span;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
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
        JsonNode golden = Fixtures.json(Fixtures.reference("schedules.json"));
        golden.path("values")
                .properties()
                .forEach(entry -> courses.add(new Course(
                        entry.getKey(),
                        entry.getValue().path("args"),
                        span(golden),
                        entry.getValue().path("lr"))));
        JsonNode more = Fixtures.json(Goldens.file("schedules.json"));
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
        LearningRateSchedule schedule = schedule(course.name(), course.args());
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
        assertEquals(84, cases);
    }

    private static LearningRateSchedule schedule(String name, JsonNode args) {
        double cycles = args.path("num_cycles").asDouble(0.5);
        return switch (name) {
            case "constant" -> LearningRateSchedule.constant();
            case "constant_with_warmup" -> LearningRateSchedule.constantWithWarmup();
            case "linear" -> LearningRateSchedule.linear();
            case "cosine" -> args.isEmpty() ? LearningRateSchedule.cosine() : new LearningRateSchedule.Cosine(cycles);
            case "cosine_with_restarts" ->
                LearningRateSchedule.cosineWithRestarts(args.path("num_cycles").asInt(1));
            case "cosine_with_min_lr" ->
                args.has("num_cycles")
                        ? new LearningRateSchedule.CosineWithMinimum(floor(args), cycles)
                        : LearningRateSchedule.cosineWithMinimum(floor(args));
            case "cosine_warmup_with_min_lr" ->
                args.has("warmup_lr_rate")
                        ? new LearningRateSchedule.CosineWarmupWithMinimum(
                                floor(args),
                                cycles,
                                OptionalDouble.of(args.path("warmup_lr_rate").asDouble()))
                        : LearningRateSchedule.cosineWarmupWithMinimum(floor(args));
            case "polynomial" ->
                LearningRateSchedule.polynomial(
                        args.path("power").asDouble(1), args.path("lr_end").asDouble(1e-7));
            case "inverse_sqrt" ->
                args.has("timescale")
                        ? new LearningRateSchedule.InverseSqrt(
                                OptionalInt.of(args.path("timescale").asInt()))
                        : LearningRateSchedule.inverseSqrt();
            case "warmup_stable_decay" -> warmupStableDecay(args);
            default -> throw new AssertionError("no schedule for " + name);
        };
    }

    private static LearningRateFloor floor(JsonNode args) {
        return args.has("min_lr")
                ? LearningRateFloor.rate(args.path("min_lr").asDouble())
                : LearningRateFloor.share(args.path("min_lr_rate").asDouble());
    }

    private static LearningRateSchedule warmupStableDecay(JsonNode args) {
        if (args.size() == 1) {
            return LearningRateSchedule.warmupStableDecay(
                    args.path("num_decay_steps").asInt());
        }
        JsonNode stable = args.path("num_stable_steps");
        return new WarmupStableDecay(
                args.path("num_decay_steps").asInt(),
                stable.isMissingNode() ? OptionalInt.empty() : OptionalInt.of(stable.asInt()),
                shape(args.path("warmup_type").asText("linear")),
                shape(args.path("decay_type").asText("cosine")),
                args.path("min_lr_ratio").asDouble(0),
                args.path("num_cycles").asDouble(0.5));
    }

    private static WarmupStableDecay.Shape shape(String type) {
        return type.equals("1-sqrt")
                ? WarmupStableDecay.Shape.ONE_MINUS_SQRT
                : WarmupStableDecay.Shape.valueOf(type.toUpperCase(Locale.ROOT));
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
}
