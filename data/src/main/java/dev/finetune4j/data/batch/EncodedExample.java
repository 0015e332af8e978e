package dev.finetune4j.data.batch;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.text.EncodedChat;
import java.util.Arrays;

/**
 * A conversation as ids and labels. The labels are shifted already: {@code labels[i]} is the id that follows
 * {@code inputIds[i]} if it belongs to an answer, else {@link Labels#IGNORE}; so the last label of an encoded conversation is
 * always {@code IGNORE}. The arrays are the record's own: they are not copied, so do not change them.
 *
 * @param inputIds the tokens in order, at least one
 * @param labels what each position must predict
 */
@SuppressWarnings("ArrayRecordComponent") // compared by nobody, read by the collator
public record EncodedExample(int[] inputIds, int[] labels) {
    /** @throws IllegalArgumentException if there is no token or the lengths differ */
    public EncodedExample {
        if (inputIds.length == 0 || inputIds.length != labels.length) {
            throw new IllegalArgumentException("an example needs at least one token and a label for each, but has "
                    + inputIds.length + " tokens and " + labels.length + " labels");
        }
    }

    static EncodedExample of(EncodedChat chat) {
        int[] ids = chat.ids();
        int[] labels = new int[ids.length];
        Arrays.fill(labels, Labels.IGNORE);
        for (int i = 0; i + 1 < ids.length; i++) {
            if (chat.trained()[i + 1]) {
                labels[i] = ids[i + 1];
            }
        }
        return new EncodedExample(ids, labels);
    }

    /** How many tokens there are. */
    public int length() {
        return inputIds.length;
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
