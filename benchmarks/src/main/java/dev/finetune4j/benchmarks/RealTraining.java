package dev.finetune4j.benchmarks;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;

/**
 * A QLoRA training of rank 16 through the public builder, with what each step reported.
 *
 * @param steps in order
 * @param secondsBefore from the call of {@code train()} to the first step: data, loading, adapter
 * @param secondsInAll from that call to its return
 * @param plannedGibibytes peak of the memory plan
 * @param peakGibibytes the most that tensors took on the GPU; not a number on a CPU
 * @param reservedGibibytes the most that was taken from the driver, for tensors, captured graphs and what is kept for new ones
 */
record RealTraining(
        List<Step> steps,
        double secondsBefore,
        double secondsInAll,
        double plannedGibibytes,
        double peakGibibytes,
        double reservedGibibytes) {
    private static final double GIBIBYTE = 1 << 30;

    /**
     * One optimizer step.
     *
     * @param epoch counted from 1
     * @param tokens that are not padding
     * @param seconds since the step before was reported, or since the training began
     * @param loss mean over its target tokens
     */
    record Step(int epoch, int tokens, double seconds, double loss) {}

    /**
     * How a model is trained on what.
     *
     * @param model folder of the checkpoint
     * @param device where
     * @param data examples
     * @param chatTemplate its name
     * @param maxSequenceLength longer examples are skipped
     * @param dropout of LoRA
     * @param length sets batch size and epochs or steps
     * @param more whatever else is chosen, such as an objective
     */
    record Task(
            Path model,
            ComputeDevice device,
            Dataset data,
            String chatTemplate,
            int maxSequenceLength,
            double dropout,
            Consumer<TrainingSettings.Builder> length,
            Consumer<FineTuner.Builder> more) {
        /** With nothing else. */
        Task(
                Path model,
                ComputeDevice device,
                Dataset data,
                String chatTemplate,
                int maxSequenceLength,
                double dropout,
                Consumer<TrainingSettings.Builder> length) {
            this(model, device, data, chatTemplate, maxSequenceLength, dropout, length, builder -> {});
        }

        private FineTuner.Builder builder() {
            FineTuner.Builder builder = FineTuner.builder()
                    .model(model)
                    .device(device)
                    .qlora(q -> q.rank(16).alpha(32).dropout(dropout))
                    .dataset(data)
                    .chatTemplate(chatTemplate)
                    .maxSequenceLength(maxSequenceLength)
                    .truncation(Truncation.SKIP)
                    .training(t -> t.learningRate(1e-4))
                    .training(length);
            more.accept(builder);
            return builder;
        }
    }

    /** Trains, and frees what was trained. */
    static RealTraining run(Task task) {
        return run(task, new TrainingListener() {});
    }

    /** The same with somebody who watches. */
    static RealTraining run(Task task, TrainingListener watcher) {
        boolean gpu = task.device().kind() == ComputeDevice.Kind.CUDA;
        if (gpu) {
            CudaMemory.emptyCache();
            CudaMemory.resetPeak(task.device());
        }
        Clock clock = new Clock();
        FineTuner tuner = task.builder().listener(clock).listener(watcher).build();
        double planned = tuner.plan().peak() / GIBIBYTE;
        long start = System.nanoTime();
        try (FineTunedModel tuned = tuner.train()) {
            double seconds = (System.nanoTime() - start) / 1e9;
            CudaMemory memory = gpu ? CudaMemory.of(task.device()) : null;
            return new RealTraining(
                    List.copyOf(clock.steps),
                    (clock.began - start) / 1e9,
                    seconds,
                    planned,
                    memory == null ? Double.NaN : memory.peak() / GIBIBYTE,
                    memory == null ? Double.NaN : memory.peakReserved() / GIBIBYTE);
        }
    }

    private static final class Clock implements TrainingListener {
        private final List<Step> steps = new ArrayList<>();
        private long began;
        private long last;

        @Override
        public void onStart(int totalSteps, long trainableParameters) {
            began = System.nanoTime();
            last = began;
        }

        @Override
        public void onStep(StepReport report, Control control) {
            long now = System.nanoTime();
            int epoch = (int) Math.ceil(report.epoch() - 1e-9);
            steps.add(new Step(epoch, report.throughput().tokens(), (now - last) / 1e9, report.loss()));
            last = now;
        }
    }

    /** The steps of each epoch. */
    Map<Integer, List<Step>> epochs() {
        Map<Integer, List<Step>> epochs = new TreeMap<>();
        steps.forEach(step ->
                epochs.computeIfAbsent(step.epoch(), key -> new ArrayList<>()).add(step));
        return epochs;
    }

    /** Tokens that are not padding over the time of some steps. */
    static double tokensPerSecond(List<Step> steps) {
        return steps.stream().mapToInt(Step::tokens).sum()
                / steps.stream().mapToDouble(Step::seconds).sum();
    }

    /** The mean loss of some steps. */
    static double loss(List<Step> steps) {
        return steps.stream().mapToDouble(Step::loss).average().orElse(Double.NaN);
    }
}
