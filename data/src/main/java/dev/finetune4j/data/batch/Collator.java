package dev.finetune4j.data.batch;

import dev.finetune4j.core.Labels;
import java.util.Arrays;
import java.util.List;

/**
 * Puts examples side by side as one {@link Batch}, as long as the longest of them.
 *
 * @param padId id that fills up short rows; no loss and, with causal attention, no result depends on it
 * @param multipleOf the length is rounded up to a multiple of this, which some GPU kernels like; 1 for no rounding
 */
public record Collator(int padId, int multipleOf) {
    /** @throws IllegalArgumentException if the id is negative or the multiple less than 1 */
    public Collator {
        if (padId < 0) {
            throw new IllegalArgumentException("padId is " + padId
                    + ", but it must be an id of the vocabulary; 0 will do if there is no padding token");
        }
        if (multipleOf < 1) {
            throw new IllegalArgumentException("multipleOf is " + multipleOf + ", but must be 1 (no rounding) or more");
        }
    }

    /**
     * Makes a batch of the examples, in their order.
     *
     * @throws IllegalArgumentException if there is no example or the batch is too large for an array
     */
    public Batch collate(List<EncodedExample> examples) {
        if (examples.isEmpty()) {
            throw new IllegalArgumentException("a batch needs at least one example, but got none");
        }
        int longest = examples.stream().mapToInt(EncodedExample::length).max().orElseThrow();
        long length = ((long) longest + multipleOf - 1) / multipleOf * multipleOf;
        if (length * examples.size() > Integer.MAX_VALUE - 8) {
            throw new IllegalArgumentException("a batch of " + examples.size() + " rows of " + length
                    + " positions does not fit into an array; use fewer rows");
        }
        long[] inputIds = new long[(int) length * examples.size()];
        long[] labels = new long[inputIds.length];
        Arrays.fill(inputIds, padId);
        Arrays.fill(labels, Labels.IGNORE);
        int start = 0;
        int targetTokens = 0;
        int tokens = 0;
        for (EncodedExample example : examples) {
            for (int i = 0; i < example.length(); i++) {
                inputIds[start + i] = example.inputIds()[i];
                labels[start + i] = example.labels()[i];
            }
            start += (int) length;
            targetTokens += example.targetTokens();
            tokens += example.length();
        }
        return new Batch(examples.size(), (int) length, inputIds, labels, targetTokens, tokens);
    }
}
