package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A training that goes on from a snapshot has the numbers of one that was never interrupted, bit by bit. */
class TrainingStateTest {
    private static final int STEPS = 12;

    private static CausalLM base;

    @BeforeAll
    static void load() {
        base = Fixtures.model(Fixtures.reference("models/llama"), LinearFactory.dense());
    }

    @AfterAll
    static void free() {
        base.close();
    }

    /** Eleven shuffled rows in steps of 2 x 2, so that an epoch ends in the middle of the training with a shorter step. */
    private static BatchLoader loader() {
        SplittableRandom random = new SplittableRandom(5);
        List<EncodedExample> examples = new ArrayList<>();
        for (int i = 0; i < 11; i++) {
            int[] ids = random.ints(6 + i % 4, 0, 200).toArray();
            int[] labels = new int[ids.length];
            for (int k = 0; k < ids.length; k++) {
                labels[k] = k == ids.length - 1 ? Labels.IGNORE : ids[k + 1];
            }
            examples.add(new EncodedExample(ids, labels));
        }
        return new BatchLoader(examples, 2, 2, 3, new Collator(0, 1), true);
    }

    private static PeftAdapter adapter(long seed) {
        LoraSettings settings = LoraSettings.builder().rank(4).dropout(0.1).build();
        return AdapterKinds.create(base, settings, InitSources.seed(seed));
    }

    private static Trainer trainer(PeftAdapter adapter, List<TrainingListener> listeners) {
        TrainingSettings settings = TrainingSettings.builder()
                .maxSteps(STEPS)
                .gradientAccumulation(2)
                .learningRate(5e-3)
                .weightDecay(0.01)
                .schedule(LearningRateSchedule.cosine(), 0.2)
                .build();
        return new Trainer(
                adapter.attachTo(base),
                adapter.trainable(),
                ParameterGroups.of(LoraPlus.withRatio(4), 5e-3),
                loader(),
                settings,
                listeners,
                () -> false);
    }

    private record Result(List<Double> losses, Map<String, float[]> values) {
        static Result of(PeftAdapter adapter, TrainingReport report) {
            Map<String, float[]> values = new HashMap<>();
            adapter.parameters().forEach((name, tensor) -> values.put(name, Tensors.toFloats(tensor)));
            return new Result(report.steps().stream().map(StepReport::loss).toList(), values);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 7, 11})
    void aTrainingGoesOnFromASnapshotBitByBit(int step) {
        Result whole;
        AtomicReference<TrainingState.Snapshot> taken = new AtomicReference<>();
        try (PeftAdapter adapter = adapter(1)) {
            AtomicReference<Trainer> trainer = new AtomicReference<>();
            trainer.set(trainer(adapter, List.of(new TrainingListener() {
                @Override
                public void onStep(StepReport report, Control control) {
                    if (report.step() == step) {
                        taken.set(trainer.get().snapshot());
                    }
                }
            })));
            whole = Result.of(adapter, trainer.get().run());
            assertThrows(IllegalStateException.class, () -> trainer.get().snapshot());
        }
        // Another start: all that counts comes from the snapshot.
        try (TrainingState.Snapshot snapshot = taken.get();
                PeftAdapter adapter = adapter(2)) {
            assertEquals(step, snapshot.step());
            assertEquals(new BatchLoader.Position(step / 3, step % 3 * 4), snapshot.position());
            List<Integer> steps = new ArrayList<>();
            TrainingListener numbers = new TrainingListener() {
                @Override
                public void onStep(StepReport report, Control control) {
                    steps.add(report.step());
                }
            };
            Result rest = Result.of(
                    adapter,
                    trainer(adapter, List.of(numbers)).resumingFrom(snapshot).run());
            assertEquals(STEPS - step, steps.size());
            assertEquals(step + 1, steps.get(0));
            assertEquals(whole.losses().subList(step, STEPS), rest.losses());
            assertEquals(whole.values().keySet(), rest.values().keySet());
            whole.values()
                    .forEach((name, values) ->
                            assertArrayEquals(values, rest.values().get(name), name));
        }
    }

    @Test
    void theMomentsCountByThemselves() {
        AtomicReference<TrainingState.Snapshot> taken = new AtomicReference<>();
        List<Double> losses;
        try (PeftAdapter adapter = adapter(1)) {
            AtomicReference<Trainer> trainer = new AtomicReference<>();
            trainer.set(trainer(adapter, List.of(new TrainingListener() {
                @Override
                public void onStep(StepReport report, Control control) {
                    if (report.step() == 4) {
                        taken.set(trainer.get().snapshot());
                    }
                }
            })));
            losses = Result.of(adapter, trainer.get().run()).losses();
        }
        try (TrainingState.Snapshot snapshot = taken.get();
                PeftAdapter adapter = adapter(1)) {
            snapshot.optimizer().forEach((name, tensor) -> {
                if (name.startsWith("exp_avg.")) {
                    tensor.zero_();
                }
            });
            List<Double> without = Result.of(
                            adapter,
                            trainer(adapter, List.of()).resumingFrom(snapshot).run())
                    .losses();
            assertEquals(losses.get(4), without.get(0), "the first step's loss follows from the values alone");
            assertNotEquals(losses.get(STEPS - 1), without.get(without.size() - 1));
        }
    }

    @Test
    void aSnapshotOfOtherParametersIsRefused() {
        AtomicReference<TrainingState.Snapshot> taken = new AtomicReference<>();
        try (PeftAdapter adapter = adapter(1)) {
            AtomicReference<Trainer> trainer = new AtomicReference<>();
            trainer.set(trainer(adapter, List.of(new TrainingListener() {
                @Override
                public void onStep(StepReport report, Control control) {
                    if (report.step() == 1) {
                        taken.set(trainer.get().snapshot());
                    }
                }
            })));
            trainer.get().run();
        }
        LoraSettings other = LoraSettings.builder().rank(2).build();
        try (TrainingState.Snapshot snapshot = taken.get();
                PeftAdapter adapter = AdapterKinds.create(base, other, InitSources.seed(1))) {
            String message = assertThrows(
                            IllegalArgumentException.class,
                            () -> trainer(adapter, List.of())
                                    .resumingFrom(snapshot)
                                    .run())
                    .getMessage();
            assertTrue(message.contains("lora_A") && message.contains("[4, "), message);
        }
    }
}
