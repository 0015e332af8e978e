package dev.finetune4j.lora.train.loop;

import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.OptimizerBatch;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The batches on which the outcome of a training is measured: those of its first step, and all of a small data set. */
final class FirstBatches {
    /** Rows up to which a data set is small enough that its user will ask for them one by one. */
    private static final int MAX_ROWS = 64;

    private final int stepsPerEpoch;
    private final boolean small;
    private final List<Batch> epoch = new ArrayList<>();
    private @Nullable OptimizerBatch firstStep;

    FirstBatches(BatchLoader loader) {
        stepsPerEpoch = loader.stepsPerEpoch();
        small = loader.size() <= MAX_ROWS;
    }

    /** Keeps the batches of a step if they are wanted later. */
    void add(Step step) {
        add(step.index(), step.batch());
    }

    private void add(int index, OptimizerBatch batch) {
        if (firstStep == null) {
            firstStep = batch;
        }
        if (small && index < stepsPerEpoch) {
            epoch.addAll(batch.microBatches());
        }
    }

    /** Takes them from the loader anew, for a training that goes on after so many steps. The loader then stands anywhere. */
    void addFirst(BatchLoader loader, int steps) {
        loader.seek(new BatchLoader.Position(0, 0));
        int wanted = Math.min(steps, small ? stepsPerEpoch : 1);
        for (int i = 0; i < wanted; i++) {
            add(i, loader.next());
        }
    }

    /** Those of the first step, of all ranks; null before it. */
    @Nullable
    OptimizerBatch firstStep() {
        return firstStep;
    }

    /** Those of this rank in the first epoch of a small data set; else none. */
    List<Batch> epoch() {
        return epoch;
    }
}
