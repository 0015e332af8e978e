package dev.finetune4j.data.batch;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.text.EncodedChat;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Tokens and labels of one sequence. The labels are shifted already: {@code labels[i]} is the id that follows
 * {@code inputIds[i]} if it is to be learned, else {@link Labels#IGNORE}; so the last label of an encoded conversation is
 * always {@code IGNORE}. The arrays are the record's own: they are not copied, so do not change them.
 *
 * @param inputIds the tokens in order, at least one
 * @param labels what each position must predict
 * @param weights what each label counts in the loss, at least 0; null where all count 1
 * @param kind what the sequence is in its example
 */
@SuppressWarnings("ArrayRecordComponent") // compared by nobody, read by the batch
public record EncodedSequence(int[] inputIds, int[] labels, float @Nullable [] weights, Kind kind) {
    /** What a sequence is in its example. */
    public enum Kind {
        /** An answer, or a text, to learn. */
        TARGET,
        /** The better answer of a pair. */
        CHOSEN,
        /** The worse answer of a pair. */
        REJECTED,
        /** An answer that was judged good. */
        DESIRABLE,
        /** An answer that was judged bad. */
        UNDESIRABLE,
        /** A prompt with the answer to another, from which KTO estimates how far the policy is from the reference. */
        MISMATCHED
    }

    /** @throws IllegalArgumentException if there is no token or the lengths differ */
    public EncodedSequence {
        if (inputIds.length == 0 || inputIds.length != labels.length) {
            throw new IllegalArgumentException("a sequence needs at least one token and a label for each, but has "
                    + inputIds.length + " tokens and " + labels.length + " labels");
        }
        if (weights != null && weights.length != labels.length) {
            throw new IllegalArgumentException("a sequence needs a weight for each label or none, but has "
                    + weights.length + " weights and " + labels.length + " labels");
        }
        Objects.requireNonNull(kind, "kind");
    }

    /** One whose labels all count 1. */
    public EncodedSequence(int[] inputIds, int[] labels, Kind kind) {
        this(inputIds, labels, null, kind);
    }

    static EncodedSequence withPromptIgnored(EncodedChat chat) {
        return withPromptIgnored(chat, null);
    }

    /** @param counts what each token counts in the loss where it is learned; null where all count 1 */
    static EncodedSequence withPromptIgnored(EncodedChat chat, float @Nullable [] counts) {
        int[] ids = chat.ids();
        int[] labels = new int[ids.length];
        Arrays.fill(labels, Labels.IGNORE);
        for (int i = 0; i + 1 < ids.length; i++) {
            if (chat.trained()[i + 1]) {
                labels[i] = ids[i + 1];
            }
        }
        float[] weights = counts == null ? null : Arrays.copyOfRange(counts, 1, ids.length + 1);
        return new EncodedSequence(ids, labels, weights, Kind.TARGET);
    }

    /** The same with ids modulo the size of a smaller vocabulary. */
    public EncodedSequence folded(int vocabulary) {
        return new EncodedSequence(
                Arrays.stream(inputIds).map(id -> id % vocabulary).toArray(),
                Arrays.stream(labels)
                        .map(id -> id == Labels.IGNORE ? id : id % vocabulary)
                        .toArray(),
                weights,
                kind);
    }

    /** How many tokens there are. */
    public int length() {
        return inputIds.length;
    }

    /** How many positions lie before the first that has something to predict. */
    public int promptPositions() {
        int first = 0;
        while (first < labels.length && labels[first] == Labels.IGNORE) {
            first++;
        }
        return first;
    }

    /** What the positions that have something to predict count together: their number where there are no weights. */
    public double targetWeight() {
        if (weights == null) {
            return targetTokens();
        }
        double sum = 0;
        for (int i = 0; i < labels.length; i++) {
            sum += labels[i] == Labels.IGNORE ? 0 : weights[i];
        }
        return sum;
    }

    /** How many positions have something to predict. */
    public int targetTokens() {
        int count = 0;
        for (int label : labels) {
            if (label != Labels.IGNORE) {
                count++;
            }
        }
        return count;
    }
}
