package dev.finetune4j.data.batch;

import java.util.List;

/**
 * The examples of one optimizer step, in micro-batches whose gradients are accumulated.
 *
 * @param microBatches at least one
 * @param end where the loader stood after dealing it out: a training that is saved after this step goes on there,
 *     wherever the loader has run ahead to
 */
public record OptimizerBatch(List<Batch> microBatches, BatchLoader.Position end) {
    public OptimizerBatch {
        microBatches = List.copyOf(microBatches);
    }
}
