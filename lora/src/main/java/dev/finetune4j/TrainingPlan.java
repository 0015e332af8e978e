package dev.finetune4j;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.data.batch.Encoding;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.plan.estimate.MemoryPlanner;
import dev.finetune4j.lora.plan.estimate.PlannedBatch;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.checkpoint.TakenCheckpoint;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Plans the batches of a fine-tuning: how long examples may be, which come together, and how much memory they take.
 *
 * @param folder of the base
 * @param device on which it trains
 * @param localRanks how many processes of this machine train together: on a CPU they share the memory
 */
record TrainingPlan(FineTuning tuning, PretrainedFolder folder, ComputeDevice device, int localRanks) {
    private static final int USUAL_LENGTH = 2048;

    /** Opens the folder of the base, for a plan without a training, and as if this process were the only one. */
    static TrainingPlan open(FineTuning tuning) {
        return new TrainingPlan(
                tuning,
                PretrainedFolder.open(tuning.base().settings()),
                tuning.compute().chosenDevice(),
                1);
    }

    /** The same plan of a tuning with other settings. */
    TrainingPlan with(FineTuning other) {
        return new TrainingPlan(other, folder, device, localRanks);
    }

    /** The plan of full batches of the longest examples that are allowed, or of full rows where they are packed. */
    MemoryPlan longest() {
        int packing = tuning.encoding().packing();
        int rows = tuning.training().batchSize() * tuning.objective().sequences();
        return plan(
                packing == 0
                        ? PlannedBatch.padded(rows, longestExample())
                        : new PlannedBatch(rows, longestExample(), (long) rows * packing));
    }

    /** The plan of the batches of a data set. */
    MemoryPlan of(Dataset dataset) {
        try (Tokenizer tokenizer = Tokenizer.load(folder.path())) {
            EncodedDataset data = encode(dataset, encoder(tokenizer));
            BatchLoader loader = loader(data);
            return of(data, loader, settings(loader));
        }
    }

    /** @param tokenizer of the folder, for a base that is not loaded yet */
    private ChatEncoder encoder(Tokenizer tokenizer) {
        return tuning.loaded() == null
                ? BaseLoading.encoder(folder, tokenizer, tuning.encoding().chatTemplate())
                : tuning.loaded().encoder();
    }

    /** What becomes of a data set when it is encoded. */
    DataReport report(Dataset dataset) {
        try (Tokenizer tokenizer = Tokenizer.load(folder.path())) {
            return encode(dataset, encoder(tokenizer)).report();
        }
    }

    /** The plan of the largest batch of a training. */
    MemoryPlan of(EncodedDataset data, BatchLoader loader, TrainingSettings settings) {
        int steps = loader.stepsPerEpoch();
        int epochs = (settings.totalSteps(steps) - 1) / steps + 1;
        int rows =
                Math.min(settings.batchSize(), data.size()) * tuning.objective().sequences();
        return plan(new PlannedBatch(rows, data.longest(), loader.largestBatch(epochs)));
    }

    /** The examples as tokens. */
    EncodedDataset encode(Dataset dataset, ChatEncoder encoder) {
        FineTuning.Encoding chosen = tuning.encoding();
        return tuning.objective()
                .encode(
                        dataset,
                        encoder,
                        new Encoding(
                                longestExample(),
                                chosen.truncation(),
                                chosen.trainOn(),
                                chosen.cache(),
                                chosen.packing() > 0));
    }

    /** The batches of a training. */
    BatchLoader loader(EncodedDataset data) {
        return Batching.of(tuning, folder.config(), placement(), longestExample())
                .loader(data, tuning.training())
                .ofRank(tuning.compute().rank(), tuning.compute().ranks());
    }

    /** The settings of a training, what was left open filled in. */
    TrainingSettings settings(BatchLoader loader) {
        return tuning.usual().fill(tuning, folder.config(), loader.stepsPerEpoch());
    }

    /** Where and in which number formats it is computed. */
    Placement placement() {
        return BaseLoading.forTraining(device, tuning.compute().precision(), tuning.method())
                .placement();
    }

    private MemoryPlan plan(PlannedBatch batch) {
        DeviceMemory memory = memory();
        TuningMethod method = tuning.method();
        MemoryPlanner planner = MemoryPlanner.of(folder, method.quantization(), method.adapter(), placement())
                .optimizing(tuning.training().optimizer());
        if (method.continued() != null && tuning.objective().needsReference()) {
            planner = planner.withFrozenAdapter();
        }
        ActivationCheckpointing activations = tuning.compute().activationCheckpointing();
        MemoryPlan plan =
                activations == null ? planner.choose(batch, memory) : planner.plan(batch, activations, memory);
        MemoryPlan whole = tuning.compute().keepsDequantized() ? planner.withDequantized(plan) : plan;
        return copiesCheckpoints(planner, whole) ? planner.withCheckpointCopy(whole) : whole;
    }

    /** Whether checkpoints are copied in the memory that is planned; those of a GPU are in the host's. */
    private boolean copiesCheckpoints(MemoryPlanner planner, MemoryPlan plan) {
        return tuning.course().checkpoints().folder() != null
                && device.kind() == ComputeDevice.Kind.CPU
                && TakenCheckpoint.isCopied(
                        planner.stateBytes(),
                        plan.memory().free() - plan.bytes().resident());
    }

    /** What there is for the training; the weights of a base that is loaded already count as free, as the plan counts them. */
    private DeviceMemory memory() {
        DeviceMemory memory = share(DeviceMemory.of(device));
        if (tuning.loaded() == null) {
            return memory;
        }
        long weights = MemoryPlanner.weightBytes(folder, tuning.method().quantization(), placement());
        return new DeviceMemory(Math.min(memory.total(), memory.free() + weights), memory.total());
    }

    /** What each of the processes gets that share it, as long as none has loaded its model. */
    private DeviceMemory share(DeviceMemory memory) {
        int shares = device.kind() == ComputeDevice.Kind.CPU ? localRanks : 1;
        return new DeviceMemory(memory.free() / shares, memory.total() / shares);
    }

    /** How many tokens an example may have. */
    int longestExample() {
        int virtual = tuning.method().virtualTokens();
        int room = folder.config().maxPositions() - virtual;
        if (room < 2) {
            throw new SettingsException(
                    List.of(virtual + " virtual tokens leave no room for an example: the model was made" + " for "
                            + folder.config().maxPositions() + " tokens; use fewer"));
        }
        int limit = tuning.encoding().maxSequenceLength();
        int packing = tuning.encoding().packing();
        return Math.min(
                Math.min(room, limit > 0 ? limit : USUAL_LENGTH),
                packing > 0 ? packing / tuning.objective().sequences() : room);
    }

    /** The same exception, with the plan's advice where memory ran out. */
    static RuntimeException advised(RuntimeException thrown, @Nullable MemoryPlan plan) {
        // A refusal by the plan has its advice already, and more.
        return thrown instanceof OutOfDeviceMemoryException out
                        && plan != null
                        && !out.advice().startsWith(plan.advice())
                ? out.withAdvice(plan.advice())
                : thrown;
    }
}
