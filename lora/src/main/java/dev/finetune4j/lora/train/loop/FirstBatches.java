package dev.finetune4j.lora.train.loop;

import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import java.util.ArrayList;
import java.util.List;

/** The batches on which the outcome of a training is measured: those of its first step, and all of a small data set. */
final class FirstBatches {
    /** Rows up to which a data set is small enough that its user will ask for them one by one. */
    private static final int MAX_ROWS = 64;

    private final int stepsPerEpoch;
    private final boolean small;
    private final List<Batch> epoch = new ArrayList<>();
    private List<Batch> firstStep = List.of();

    FirstBatches(BatchLoader loader) {
        stepsPerEpoch = loader.stepsPerEpoch();
        small = loader.size() <= MAX_ROWS;
    }

    /** Keeps the batches of a step if they are wanted later. */
    void add(Trainer.Step step) {
        if (firstStep.isEmpty()) {
            firstStep = step.microBatches();
        }
        if (small && step.index() < stepsPerEpoch) {
            epoch.addAll(step.microBatches());
        }
    }

    /** Those of the first step. */
    List<Batch> firstStep() {
        return firstStep;
    }

    /** Those of the first epoch of a small data set; else none. */
    List<Batch> epoch() {
        return epoch;
    }
}
