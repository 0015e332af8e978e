package dev.finetune4j;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.lora.parallel.DataParallel;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * All that was chosen for a fine-tuning but its data: what the builder fills, and plan and training read. Immutable.
 *
 * @param base where the base comes from
 * @param loaded the base, if others have loaded it and use it too; null to load one
 * @param method what is trained
 * @param objective what is minimized
 * @param encoding how examples become tokens
 * @param compute where and how it is computed
 * @param training the settings, with any value where nothing was said
 * @param usual fills in what was left open
 * @param course what accompanies the training
 */
record FineTuning(
        BaseSource base,
        @Nullable LanguageModel loaded,
        TuningMethod method,
        TuningObjective objective,
        Encoding encoding,
        Compute compute,
        TrainingSettings training,
        UsualSettings usual,
        Course course) {

    /** The same with another way to compute. */
    FineTuning with(Compute other) {
        return new FineTuning(base, loaded, method, objective, encoding, other, training, usual, course);
    }

    /**
     * How examples become tokens.
     *
     * @param chatTemplate name of the chat template; null for the one of the model's folder
     * @param maxSequenceLength longest example in tokens; 0 for the usual limit
     * @param truncation what happens to longer examples
     * @param trainOn which tokens are learned
     * @param packing tokens of the rows that examples are packed into; 0 to batch the examples themselves
     * @param cache the folder that keeps encoded rows; null for none
     */
    record Encoding(
            @Nullable String chatTemplate,
            int maxSequenceLength,
            Truncation truncation,
            TrainOn trainOn,
            int packing,
            @Nullable Path cache) {}

    /**
     * Where and how a training is computed.
     *
     * @param device null for the best one
     * @param precision null for the device's usual one
     * @param threads of an operation on the CPU; 0 for as many as hold for the process
     * @param activationCheckpointing null to let the memory plan decide
     * @param keepsDequantized whether 4-bit weights are kept dense beside their codes, as many as fit
     * @param memory refuses what does not fit
     * @param parallel which of several processes this one is; null for the only one
     */
    record Compute(
            @Nullable ComputeDevice device,
            @Nullable Precision precision,
            int threads,
            @Nullable ActivationCheckpointing activationCheckpointing,
            boolean keepsDequantized,
            MemoryCheck memory,
            @Nullable DataParallel parallel) {
        /** The same with blocks that recompute as they did before, where nothing was chosen. */
        Compute recomputing(ActivationCheckpointing asBefore) {
            return activationCheckpointing != null
                    ? this
                    : new Compute(device, precision, threads, asBefore, keepsDequantized, memory, parallel);
        }

        /** The one that was chosen; else of several processes each has the GPU of its local rank, where there are GPUs. */
        ComputeDevice chosenDevice() {
            if (device != null) {
                return device;
            }
            ComputeDevice best = ComputeDevice.best();
            return parallel == null || best.equals(ComputeDevice.cpu())
                    ? best
                    : ComputeDevice.cuda(parallel.localRank());
        }

        /** Which of the processes this is, counted from 0. */
        int rank() {
            return parallel == null ? 0 : parallel.rank();
        }

        /** How many processes there are. */
        int ranks() {
            return parallel == null ? 1 : parallel.worldSize();
        }
    }

    /**
     * What accompanies a training.
     *
     * @param listeners who watches
     * @param heldOut examples to evaluate; null for none
     * @param exams what the model is asked at each evaluation
     * @param timeLimit after which it ends; null for never
     * @param checkpoints where and when they are written, and whether one is gone on from
     * @param repeated the record of the training that this one repeats; null for none
     */
    record Course(
            List<TrainingListener> listeners,
            @Nullable Dataset heldOut,
            List<EvalTask> exams,
            @Nullable Duration timeLimit,
            CheckpointChoice checkpoints,
            @Nullable JsonNode repeated) {
        /** @throws SettingsException if an exam has the name of another one */
        Course {
            listeners = List.copyOf(listeners);
            exams = List.copyOf(exams);
            requireNames(exams);
        }

        /** Each exam is a metric of its own, by its name. */
        private static void requireNames(List<EvalTask> exams) {
            List<String> problems = new ArrayList<>();
            Set<String> names = new HashSet<>();
            for (EvalTask task : exams) {
                if (!names.add(task.name())) {
                    problems.add("two exams are called \"" + task.name()
                            + "\", but their results are told apart by name; rename one");
                }
            }
            if (!problems.isEmpty()) {
                throw new SettingsException(problems);
            }
        }
    }
}
