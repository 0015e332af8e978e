package dev.finetune4j.lora.parallel;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.Precision;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import java.nio.file.Path;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * What the ranks of {@link LocalLauncherTest} run: a short training, whose losses it prints.
 *
 * <p>Arguments: the model's folder, where to save, {@code sft} or {@code dpo}, steps; and a folder of checkpoints from which it
 * goes on, if there is to be one.
 */
final class RankProgram {
    private static final int CHECKPOINTS = 4;

    private RankProgram() {}

    public static void main(String[] args) {
        DataParallel processes = DataParallel.fromEnvironment();
        System.out.println("pid " + ProcessHandle.current().pid());
        System.out.println("device " + Fixtures.device(processes.rank()));
        FineTuner.Builder builder = builder(Path.of(args[0]), args[2], Integer.parseInt(args[3]), 2, processes.rank())
                .dataParallel(processes)
                .listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport step, Control control) {
                        System.out.println("step " + step.step());
                    }
                });
        if (args.length > CHECKPOINTS) {
            builder = resumed(builder, Path.of(args[CHECKPOINTS]));
        }
        try (FineTunedModel tuned = builder.train()) {
            tuned.save(Path.of(args[1]).resolve("of" + processes.rank()));
            System.out.println("losses " + losses(tuned));
        }
    }

    static FineTuner.Builder resumed(FineTuner.Builder builder, Path checkpoints) {
        return builder.checkpoints(checkpoints, c -> c.saveSteps(2)).resume();
    }

    static FineTuner.Builder builder(Path model, String objective, int steps, int batchSize, int rank) {
        FineTuner.Builder builder = FineTuner.builder()
                .model(model)
                .device(Fixtures.device(rank))
                .precision(Precision.FP32)
                .lora(l -> l.rank(4))
                .training(t -> t.maxSteps(steps)
                        .learningRate(1e-3)
                        .schedule(LearningRateSchedule.constant(), 0)
                        .batchSize(batchSize));
        return objective.equals("dpo")
                ? builder.dpo()
                        .dataset(Dataset.of(IntStream.range(0, 7)
                                .mapToObj(i ->
                                        PreferenceExample.of("question " + i, "good " + i, "bad ".repeat(1 + i % 3)))
                                .toList()))
                : builder.dataset(Dataset.of(IntStream.range(0, 7)
                        .mapToObj(i -> SftExample.of("question " + i, "answer ".repeat(1 + i % 4)))
                        .toList()));
    }

    static String losses(FineTunedModel tuned) {
        return tuned.report().steps().stream()
                .map(step -> String.valueOf(step.loss()))
                .collect(Collectors.joining(" "));
    }
}
