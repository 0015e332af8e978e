package dev.finetune4j.data.batch;

import java.util.List;

/**
 * The examples of one optimizer step, in micro-batches whose gradients are accumulated.
 *
 * @param ofRanks the micro-batches of each rank, of one that trains alone at least one. The first ones of all ranks are together the
 *     first micro-batch of the step, and so on; where there are too few examples for all ranks, some have no share of the last
 * @param rank which of the ranks this is, counted from 0
 * @param end where the loader stood after dealing it out: a training that is saved after this step goes on there,
 *     wherever the loader has run ahead to
 */
public record OptimizerBatch(List<List<Batch>> ofRanks, int rank, BatchLoader.Position end) {
    public OptimizerBatch {
        ofRanks = ofRanks.stream().map(List::copyOf).toList();
    }

    /** The micro-batches of this rank. */
    public List<Batch> microBatches() {
        return ofRanks.get(rank);
    }

    /** The micro-batches of all ranks, one rank after the other. */
    public List<Batch> ofAllRanks() {
        return ofRanks.stream().flatMap(List::stream).toList();
    }

    /** The shares that the ranks have of one of its micro-batches, at least one. */
    public List<Batch> shares(int microBatch) {
        return ofRanks.stream()
                .filter(own -> own.size() > microBatch)
                .map(own -> own.get(microBatch))
                .toList();
    }

    /** How many micro-batches it has; this rank may have no share of the last. */
    public int size() {
        return ofRanks.stream().mapToInt(List::size).max().orElse(0);
    }
}
