package dev.finetune4j.core.text;

/**
 * A conversation as token ids. The arrays are the record's own: they are not copied, so do not change them.
 *
 * @param ids the tokens in order
 * @param trained for each token whether training teaches it: whether it is part of an assistant's answer or its end
 */
public record EncodedChat(int[] ids, boolean[] trained) {
    /** @throws IllegalArgumentException if the lengths differ */
    public EncodedChat {
        if (ids.length != trained.length) {
            throw new IllegalArgumentException(
                    "each id needs one flag, but there are " + ids.length + " ids and " + trained.length + " flags");
        }
    }
}
