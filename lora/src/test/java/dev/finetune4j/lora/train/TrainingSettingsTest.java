package dev.finetune4j.lora.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.core.SettingsException;
import java.util.List;
import java.util.function.BiFunction;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Settings that cannot work are refused before anything is read, all at once. */
class TrainingSettingsTest {
    static Stream<Arguments> numbers() {
        return Stream.of(
                number("epochs", "above 0 and finite", TrainingSettings.Builder::epochs),
                number("learningRate", "above 0 and finite", TrainingSettings.Builder::learningRate),
                number(
                        "warmupRatio",
                        "at least 0 and below 1",
                        (builder, value) -> builder.schedule(LearningRateSchedule.cosine(), value)),
                number("weightDecay", "0 or more and finite", TrainingSettings.Builder::weightDecay),
                number("maxGradNorm", "0 (no clipping) or more and finite", TrainingSettings.Builder::maxGradNorm));
    }

    private static Arguments number(
            String name, String range, BiFunction<TrainingSettings.Builder, Double, TrainingSettings.Builder> call) {
        return Arguments.of(name, range, call);
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("numbers")
    void whatIsNoNumberIsRefused(
            String name, String range, BiFunction<TrainingSettings.Builder, Double, TrainingSettings.Builder> call) {
        DoubleStream.of(Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, -1)
                .forEach(value -> {
                    List<String> problems = problems(call.apply(TrainingSettings.builder(), value));
                    assertEquals(1, problems.size(), problems.toString());
                    String expected = name + " must be " + range + ", but is " + value;
                    assertEquals(
                            expected,
                            problems.get(0)
                                    .substring(
                                            0,
                                            Math.min(
                                                    expected.length(),
                                                    problems.get(0).length())));
                });
    }

    private static List<String> problems(TrainingSettings.Builder builder) {
        return assertThrows(SettingsException.class, builder::build).problems();
    }

    @Test
    void allWrongNumbersAreNamedAtOnce() {
        assertEquals(
                5,
                problems(TrainingSettings.builder()
                                .epochs(Double.NaN)
                                .learningRate(Double.POSITIVE_INFINITY)
                                .schedule(LearningRateSchedule.cosine(), Double.NaN)
                                .weightDecay(Double.POSITIVE_INFINITY)
                                .maxGradNorm(Double.NaN))
                        .size());
    }

    @Test
    void ofEpochsAndStepsOnlyTheOneThatDecidesIsChecked() {
        assertEquals(7, TrainingSettings.builder().epochs(0).maxSteps(7).build().totalSteps(100));
        assertEquals(
                List.of("maxSteps must be 0 (epochs decide) or more, but is -1"),
                problems(TrainingSettings.builder().epochs(Double.NaN).maxSteps(-1)));
    }
}
