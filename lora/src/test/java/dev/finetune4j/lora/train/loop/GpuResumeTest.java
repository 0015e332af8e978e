package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.Fixtures;
import dev.finetune4j.ResumeCase;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.checkpoint.SavedCheckpoint;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * On a GPU the state is restored to the byte, and the next step's loss is that of a training which was not stopped, but for the order in
 * which a GPU adds up. The data is where the last finished step left it, although further batches were enqueued by then.
 */
class GpuResumeTest {
    private static final ComputeDevice GPU = TestGpu.device();
    private static final int STEPS = 10;
    private static final int STOP = 5;

    @TempDir
    private Path folder;

    private Path model;

    @BeforeEach
    void makeModel() {
        Needs.gpu();
        model = Fixtures.tinyChatModel(folder.resolve("model"));
    }

    @ParameterizedTest
    @CsvSource({
        "SFT, FP32, 1e-6",
        "SFT, BF16, 1e-3",
        "PACKED, FP32, 1e-6",
        "PACKED, BF16, 1e-3",
        "DPO, FP32, 1e-6",
        "DPO, BF16, 1e-3",
        "CONTINUED_DPO, FP32, 1e-6",
        "KTO, FP32, 1e-6",
        "EIGHT_BIT, FP32, 1e-6",
        "FULL, FP32, 1e-6",
        "PISSA, FP32, 1e-6"
    })
    void aTrainingThatWasStoppedGoesOn(ResumeCase training, Precision precision, double tolerance) {
        Path checkpoints = folder.resolve("checkpoints");
        List<Double> whole = losses(tuner(training, precision));
        losses(tuner(training, precision)
                .checkpoints(checkpoints, c -> c.saveSteps(100))
                .listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport report, Control control) {
                        if (report.step() == STOP) {
                            control.stop();
                        }
                    }
                }));
        Path stopped = checkpoints.resolve("checkpoint-" + STOP);
        requireRestoredToTheByte(stopped, training);
        Path again = folder.resolve("again");
        List<Double> resumed =
                losses(tuner(training, precision).resumeFrom(stopped).checkpoints(again, c -> c.saveSteps(STOP + 1)));
        assertEquals(STEPS, resumed.size());
        assertEquals(whole.get(STOP), resumed.get(STOP), tolerance, training + " " + whole);
        assertTrue(Files.exists(again.resolve("checkpoint-10")));
        // Shown, because it says how far a GPU repeats itself.
        System.out.println(training + " " + precision + ": next loss " + whole.get(STOP) + " and " + resumed.get(STOP)
                + ", last " + whole.get(STEPS - 1) + " and " + resumed.get(STEPS - 1));
    }

    /** What is read of a checkpoint, put on the GPU and copied back is what is read of it. */
    private static void requireRestoredToTheByte(Path checkpoint, ResumeCase training) {
        Optimizer optimizer = training == ResumeCase.EIGHT_BIT ? Optimizer.adamW8bit() : Optimizer.adamW();
        // Eleven examples in steps of four; packed, an epoch has eight rows.
        BatchLoader.Position behind =
                training == ResumeCase.PACKED ? new BatchLoader.Position(2, 4) : new BatchLoader.Position(1, 8);
        SavedCheckpoint saved = SavedCheckpoint.read(checkpoint);
        try (TensorScope scope = new TensorScope();
                TrainingState.Snapshot read = new Resumption(saved, Map.of()).read()) {
            Map<String, Tensor> trainable = new LinkedHashMap<>();
            read.values()
                    .forEach((name, tensor) ->
                            trainable.put(name, Tensors.zeros(GPU, ScalarType.Float, tensor.shape())));
            try (TrainingState state = TrainingState.initial(
                    Parameter.named(trainable),
                    ParameterGroups.ONE,
                    ScalarType.Float,
                    new BatchLoader.Position(0, 0),
                    TrainingSettings.builder().optimizer(optimizer).build())) {
                state.restore(read);
                try (TrainingState.Snapshot back = state.snapshot()) {
                    assertEquals(STOP, back.step());
                    assertEquals(read.updates(), back.updates());
                    assertEquals(behind, back.position());
                    assertEquals(read.random(), back.random());
                    requireEqual(read.values(), back.values());
                    requireEqual(read.optimizer(), back.optimizer());
                }
            }
        }
    }

    private static void requireEqual(Map<String, Tensor> expected, Map<String, Tensor> found) {
        assertEquals(expected.keySet(), found.keySet());
        assertTrue(!expected.isEmpty());
        expected.forEach((name, tensor) -> assertTrue(torch.equal(tensor, found.get(name)), name));
    }

    private FineTuner.Builder tuner(ResumeCase training, Precision precision) {
        return training.tuner(model, STEPS, GPU, precision);
    }

    private static List<Double> losses(FineTuner.Builder builder) {
        List<Double> losses = new ArrayList<>();
        try (FineTunedModel tuned = builder.train()) {
            tuned.report().steps().forEach(step -> losses.add(step.loss()));
            return losses;
        }
    }
}
