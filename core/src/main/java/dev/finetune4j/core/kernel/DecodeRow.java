package dev.finetune4j.core.kernel;

import org.jspecify.annotations.Nullable;

/**
 * One row of a decode step: the next token of one sequence.
 *
 * @param position of the token in its sequence, from 0; -1 for an idle row, which has no sequence
 * @param token its id
 * @param memory the keys and values of the sequence, with room for the position; null for an idle row
 * @param sequence which of the memory's sequences it is, from 0
 */
public record DecodeRow(long position, long token, @Nullable KeyValueMemory memory, int sequence) {
    private static final DecodeRow IDLE = new DecodeRow(-1, 0, null, 0);

    /** A row without a sequence: it is computed, but keeps neither keys nor values, and its logits mean nothing. */
    public static DecodeRow idle() {
        return IDLE;
    }
}
