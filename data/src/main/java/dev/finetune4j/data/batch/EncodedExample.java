package dev.finetune4j.data.batch;

import java.util.List;

/**
 * The sequences of one example, which stay in one batch because the loss compares them: one for supervised fine-tuning, the
 * chosen and the rejected one of a preference pair.
 *
 * @param sequences at least one
 */
public record EncodedExample(List<EncodedSequence> sequences) {
    /** @throws IllegalArgumentException if there is no sequence */
    public EncodedExample {
        sequences = List.copyOf(sequences);
        if (sequences.isEmpty()) {
            throw new IllegalArgumentException("an example needs at least one sequence, but has none");
        }
    }

    /**
     * An example of one sequence to learn.
     *
     * @param inputIds as in {@link EncodedSequence}
     * @param labels as in {@link EncodedSequence}
     * @throws IllegalArgumentException if there is no token or the lengths differ
     */
    public EncodedExample(int[] inputIds, int[] labels) {
        this(List.of(new EncodedSequence(inputIds, labels, EncodedSequence.Kind.TARGET)));
    }

    /** How many tokens the longest sequence has. */
    public int longest() {
        return sequences.stream().mapToInt(EncodedSequence::length).max().orElseThrow();
    }

    /** How many tokens all sequences have. */
    public int tokens() {
        return sequences.stream().mapToInt(EncodedSequence::length).sum();
    }
}
