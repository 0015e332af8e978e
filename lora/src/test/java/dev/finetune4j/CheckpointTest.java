package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A training that goes on from a checkpoint ends bit by bit as one that was never interrupted. */
@Timeout(300)
class CheckpointTest {
    @TempDir
    private Path folder;

    private Path model;

    @BeforeEach
    void makeModel() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
    }

    /** A kind of training. */
    private record Kind(String name, UnaryOperator<FineTuner.Builder> choice) {
        @Override
        public String toString() {
            return name;
        }
    }

    static Stream<Kind> kinds() {
        return Stream.of(
                new Kind(
                        "sft, mixed and shuffled, dropout",
                        b -> b.dataset(mixed()).lora(l -> l.rank(4).dropout(0.1))),
                new Kind(
                        "sft, packed",
                        b -> b.dataset(mixed()).packing(64).qlora(l -> l.rank(4).dropout(0.1))),
                new Kind("pissa", b -> b.dataset(mixed()).lora(l -> l.rank(4).initWeights(LoraInit.pissa()))),
                new Kind(
                        "virtual tokens, grouped by length",
                        b -> b.dataset(mixed()).pTuning(4)),
                new Kind("all weights", b -> b.dataset(mixed()).full()),
                new Kind(
                        "dpo",
                        b -> b.dataset(pairs())
                                .lora(l -> l.rank(4).dropout(0.1))
                                .dpo()),
                new Kind(
                        "kto",
                        b -> b.dataset(judged())
                                .lora(l -> l.rank(4).dropout(0.1))
                                .kto(0.1)));
    }

    private static Dataset rows(int count, String word) {
        List<SftExample> rows = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            rows.add(SftExample.of(word + " " + i + "?", "I am Zoe" + " indeed".repeat(i % 4) + "."));
        }
        return Dataset.of(rows);
    }

    private static Dataset mixed() {
        Map<Dataset, Double> shares = new LinkedHashMap<>();
        shares.put(rows(9, "Who"), 0.7);
        shares.put(rows(3, "What"), 0.3);
        return Dataset.mix(shares, 5);
    }

    private static Dataset pairs() {
        List<PreferenceExample> pairs = new ArrayList<>();
        for (int i = 0; i < 9; i++) {
            pairs.add(PreferenceExample.of("Who " + i + "?", "I am Zoe.", "I am" + " not".repeat(i % 3) + " Max."));
        }
        return Dataset.of(pairs);
    }

    private static Dataset judged() {
        List<KtoExample> judged = new ArrayList<>();
        for (int i = 0; i < 9; i++) {
            judged.add(KtoExample.of("Who " + i + "?", "I am " + (i % 2 == 0 ? "Zoe." : "Max."), i % 2 == 0));
        }
        return Dataset.of(judged);
    }

    private FineTuner.Builder tuner(Kind kind) {
        return kind.choice()
                .apply(FineTuner.builder()
                        .model(model)
                        .device(ComputeDevice.cpu())
                        .precision(Precision.FP32)
                        .training(t -> t.batchSize(2)
                                .gradientAccumulation(2)
                                .maxSteps(10)
                                .learningRate(5e-3)
                                .weightDecay(0.01)));
    }

    /** All losses, and the bytes of what is saved. */
    private record Result(TrainingReport report, byte[] weights) {
        Result(FineTunedModel tuned, Path into) throws IOException {
            this(tuned.report(), weights(tuned, into));
        }

        private static byte[] weights(FineTunedModel tuned, Path into) throws IOException {
            if (tuned.adapter().isPresent()) {
                tuned.save(into);
                return Files.readAllBytes(into.resolve("adapter_model.safetensors"));
            }
            tuned.export(into, ModelFormat.huggingFace(Precision.FP32));
            return Files.readAllBytes(into.resolve("model.safetensors"));
        }

        List<Double> losses() {
            return report.steps().stream().map(StepReport::loss).toList();
        }
    }

    private Result train(FineTuner.Builder builder, String name) throws IOException {
        try (FineTunedModel tuned = builder.train()) {
            return new Result(tuned, folder.resolve(name));
        }
    }

    private static TrainingListener stopAfter(int step) {
        return new TrainingListener() {
            @Override
            public void onStep(StepReport report, Control control) {
                if (report.step() == step) {
                    control.stop();
                }
            }
        };
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void aTrainingThatWasStoppedGoesOnBitByBit(Kind kind) throws IOException {
        Result whole = train(tuner(kind), "whole");
        Path checkpoints = folder.resolve("checkpoints");
        Result stopped =
                train(tuner(kind).checkpoints(checkpoints, c -> c.saveSteps(2)).listener(stopAfter(5)), "stopped");
        assertEquals(TrainingReport.Outcome.STOPPED, stopped.report().outcome());
        assertEquals(List.of("checkpoint-2", "checkpoint-4", "checkpoint-5"), names(checkpoints));
        Result resumed =
                train(tuner(kind).checkpoints(checkpoints, c -> c.saveSteps(2)).resume(), "resumed");
        assertEquals(TrainingReport.Outcome.COMPLETED, resumed.report().outcome());
        assertEquals(whole.losses(), resumed.losses());
        assertArrayEquals(whole.weights(), resumed.weights());
        assertEquals(whole.report().firstRows(), resumed.report().firstRows());
        assertEquals(List.of("checkpoint-10", "checkpoint-6", "checkpoint-8"), names(checkpoints));
    }

    private static List<String> names(Path checkpoints) throws IOException {
        try (Stream<Path> entries = Files.list(checkpoints)) {
            return entries.map(entry -> entry.getFileName().toString())
                    .filter(name -> !name.equals(".finetune4j.lock"))
                    .sorted()
                    .toList();
        }
    }
}
