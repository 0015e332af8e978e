package dev.finetune4j.lora.train.loop;

import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.OptimizerBatch;
import java.util.List;

/**
 * A step whose forward and backward passes are enqueued.
 *
 * @param index counted from 0
 * @param batch its micro-batches, and where the data goes on after it, wherever the loader has run ahead to
 * @param random what dropout draws in it
 * @param start when it began, {@link System#nanoTime}
 */
record Step(int index, OptimizerBatch batch, TrainingState.RandomState random, long start) {
    /** Those of this rank. */
    List<Batch> microBatches() {
        return batch.microBatches();
    }
}
