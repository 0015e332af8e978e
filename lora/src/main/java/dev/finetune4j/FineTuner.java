package dev.finetune4j;

import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.TrainingListener;
import java.util.function.BooleanSupplier;

/**
 * Fine-tunes a chat model: choose a model, a method and a data set, then train.
 *
 * <pre>{@code
 * try (FineTunedModel tuned = FineTuner.builder()
 *         .model(Path.of("Yi-1.5-6B-Chat"))
 *         .qlora(q -> q.rank(16).alpha(32))
 *         .dataset(Path.of("identity.json"))
 *         .placeholder("name", "张三")
 *         .train()) {
 *     tuned.saveAdapter(Path.of("adapter"));
 *     String answer = tuned.ask("你好,你是谁?");
 * }
 * }</pre>
 *
 * <p>Everything that can be known to be wrong beforehand — settings, config.json, the chat template, the data — is checked
 * before any weight is read. A fine-tuner is immutable and may train several times.
 */
public final class FineTuner {
    private final FineTuning tuning;
    private final Dataset dataset;

    FineTuner(FineTuning tuning, Dataset dataset) {
        this.tuning = tuning;
        this.dataset = dataset;
    }

    /** Starts with nothing chosen; a model, a method and a data set are required. */
    public static FineTunerBuilder builder() {
        return new FineTunerBuilder();
    }

    /**
     * Trains and waits for the end. An interrupt of the thread ends it like a cancellation: the model is as the last finished
     * step left it, the report says {@code CANCELLED}, and the interrupt flag stays set.
     *
     * @return the tuned model, which the caller closes
     * @throws dev.finetune4j.core.FineTune4jException when something is wrong; the message says what and how to mend it. {@link
     *     dev.finetune4j.core.OutOfDeviceMemoryException} when the plan says that memory will not suffice ({@link
     *     FineTunerBuilder#ignoreMemoryPlan()}), or when it runs out nevertheless: everything is freed then, and a smaller
     *     training can follow
     */
    public FineTunedModel train() {
        return run(() -> Thread.currentThread().isInterrupted(), new TrainingListener() {});
    }

    /** Starts the training in a thread of its own; what goes wrong there arrives in the job's await and completion. */
    public TrainingJob start() {
        return TrainingJob.start(this::run);
    }

    private FineTunedModel run(BooleanSupplier cancelled, TrainingListener progress) {
        return newRun(cancelled, progress).run();
    }

    TrainingRun newRun(BooleanSupplier cancelled, TrainingListener progress) {
        return new TrainingRun(tuning, dataset, cancelled, progress);
    }

    /**
     * The memory that the training will take, for batches of examples of the greatest length that the settings allow; the
     * training itself plans with the longest example. Only config.json is read, and nothing is loaded.
     *
     * @throws dev.finetune4j.core.FineTune4jException when config.json, the settings or the device do not go together
     */
    public MemoryPlan plan() {
        return plan(tuning);
    }

    static MemoryPlan plan(FineTuning tuning) {
        PretrainedFolder folder = PretrainedFolder.open(tuning.model());
        return new TrainingPlan(tuning, folder, tuning.compute().chosenDevice()).longest();
    }
}
