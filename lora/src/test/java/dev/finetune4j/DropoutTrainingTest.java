package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.PTuningSettings;
import dev.finetune4j.lora.train.StepReport;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Trainings with dropout repeat by their seed, whatever runs beside them and whichever blocks are computed again. */
@Timeout(120)
class DropoutTrainingTest {
    private static final int STEPS = 12;

    @TempDir
    private Path folder;

    private Path model;
    private Path data;

    @BeforeEach
    void makeModelAndData() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        data = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?", "Hello", "Hi");
    }

    private record Method(
            String name,
            UnaryOperator<FineTuner.Builder> choice,
            @Nullable Precision precision,
            double rate) {
        Method(String name, UnaryOperator<FineTuner.Builder> choice) {
            this(name, choice, null, 1e-2);
        }

        @Override
        public String toString() {
            return name;
        }
    }

    static Stream<Method> methods() {
        return Stream.of(
                new Method("lora", b -> b.lora(l -> l.rank(4).dropout(0.3))),
                new Method("lora in bf16", b -> b.lora(l -> l.rank(4).dropout(0.3)), Precision.BF16, 1e-2),
                new Method("qlora", b -> b.qlora(q -> q.rank(4).dropout(0.3))),
                new Method("dora", b -> b.lora(l -> l.rank(4).useDora(true).dropout(0.3))),
                new Method(
                        "head",
                        b -> b.lora(l -> l.targetModules("q_proj", "lm_head").dropout(0.3))),
                new Method("vera", b -> b.vera(v -> v.rank(16).dropout(0.3)), Precision.BF16, 1e-2),
                new Method(
                        "p-tuning", b -> b.adapter(new PTuningSettings(4, PTuningSettings.Encoder.LSTM, 24, 2, 0.3))));
    }

    private FineTuner.Builder tuner(Method method, long seed) {
        FineTuner.Builder builder = tuner(method, seed, 2).activationCheckpointing(ActivationCheckpointing.all());
        return method.precision() == null ? builder : builder.precision(method.precision());
    }

    private FineTuner.Builder tuner(Method method, long seed, int accumulation) {
        return method.choice()
                .apply(FineTuner.builder()
                        .model(model)
                        .dataset(data)
                        .training(t -> t.batchSize(1)
                                .gradientAccumulation(accumulation)
                                .maxSteps(STEPS)
                                .learningRate(method.rate())
                                .seed(seed))
                        .device(ComputeDevice.cpu()));
    }

    /** The losses of all steps and the values that came of them. */
    private record Result(List<Double> losses, List<float[]> values) {
        static Result of(FineTunedModel tuned) {
            try (tuned) {
                List<float[]> values = new ArrayList<>();
                for (Tensor tensor :
                        tuned.adapter().orElseThrow().peft().parameters().values()) {
                    values.add(Tensors.toFloats(tensor));
                }
                return new Result(
                        tuned.report().steps().stream().map(StepReport::loss).toList(), values);
            }
        }

        void assertEqual(Result other) {
            assertEquals(losses, other.losses);
            for (int i = 0; i < values.size(); i++) {
                assertArrayEquals(values.get(i), other.values.get(i), "tensor " + i);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("methods")
    void trainingsAtOnceHaveTheNumbersOfEachAlone(Method method) {
        List<Result> alone = new ArrayList<>();
        for (long seed = 1; seed <= 2; seed++) {
            alone.add(Result.of(tuner(method, seed).train()));
        }
        List<TrainingJob> jobs = List.of(
                tuner(method, 1).start(),
                tuner(method, 2).start(),
                tuner(method, 1).start());
        // Others may draw from the generator of the process.
        torch.manual_seed(3);
        List<Result> together = jobs.stream().map(job -> Result.of(job.await())).toList();
        alone.get(0).assertEqual(together.get(0));
        alone.get(1).assertEqual(together.get(1));
        alone.get(0).assertEqual(together.get(2));
        assertNotEquals(alone.get(0).losses(), alone.get(1).losses());
    }

    /** But for rounding: passes that record gradients may add up in another order. */
    @ParameterizedTest
    @MethodSource("methods")
    void blocksThatAreComputedAgainHaveTheMasksOfTheFirstTime(Method method) {
        Result kept = Result.of(tuner(method, 1, 2)
                .precision(Precision.FP32)
                .activationCheckpointing(ActivationCheckpointing.none())
                .train());
        Result again = Result.of(tuner(method, 1, 2)
                .precision(Precision.FP32)
                .activationCheckpointing(ActivationCheckpointing.all())
                .train());
        for (int i = 0; i < STEPS; i++) {
            assertEquals(
                    kept.losses().get(i),
                    again.losses().get(i),
                    2e-6 * kept.losses().get(i),
                    "step " + (i + 1));
        }
    }

    /** With factors that hardly move and rows that are all alike, losses differ by their masks only. */
    @Test
    void stepsAndMicroBatchesHaveMasksOfTheirOwn() {
        data = Fixtures.alpaca(folder.resolve("alike.json"), "I am Zoe.", "Hello", "Hello");
        Method still = new Method(
                "still",
                b -> b.lora(l -> l.rank(4).initWeights(LoraInit.pissa()).dropout(0.5)),
                null,
                1e-30);
        List<Double> halves = Result.of(tuner(still, 1, 1)
                        .activationCheckpointing(ActivationCheckpointing.all())
                        .train())
                .losses();
        List<Double> pairs = Result.of(tuner(still, 1).train()).losses();
        assertEquals(STEPS, halves.stream().distinct().count(), halves.toString());
        for (int i = 0; i < STEPS / 2; i++) {
            double mean = (halves.get(2 * i) + halves.get(2 * i + 1)) / 2;
            assertEquals(mean, pairs.get(i), 1e-5 * mean, "step " + (i + 1));
        }
    }
}
