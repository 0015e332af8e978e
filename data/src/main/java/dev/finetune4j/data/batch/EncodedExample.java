package dev.finetune4j.data.batch;

import java.util.Arrays;
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

    /** How many positions its sequences take of a row that is packed so. */
    int positions(Collator.Layout layout) {
        int positions = tokens();
        for (int i = 1; i < sequences.size() && layout == Collator.Layout.SHARED; i++) {
            positions -= shared(i);
        }
        return positions;
    }

    /**
     * How many tokens a sequence begins with as the first one does, none of which has to predict something of its own: what of the
     * prompt need not be computed again. Each sequence keeps at least the position of its first target.
     *
     * @param index of the sequence; the first shares nothing
     */
    int shared(int index) {
        if (index == 0) {
            return 0;
        }
        EncodedSequence first = sequences.get(0);
        EncodedSequence other = sequences.get(index);
        int most = Math.min(Math.min(other.promptPositions(), other.length() - 1), first.length());
        int same = Arrays.mismatch(first.inputIds(), 0, most, other.inputIds(), 0, most);
        return same < 0 ? most : same;
    }
}
