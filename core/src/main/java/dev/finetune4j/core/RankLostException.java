package dev.finetune4j.core;

import org.jspecify.annotations.Nullable;

/**
 * A training on several processes cannot go on, because one of them has ended, has failed or is not heard of any more. All the others
 * end with this exception, whose message names the one and says why. What rank 0 has saved by then stays.
 */
public class RankLostException extends FineTune4jException {
    private static final long serialVersionUID = 1L;

    /** Which one, or -1 if that is not known. */
    private final int rank;

    /** @param rank which one was lost, counted from 0; -1 if that is not known */
    public RankLostException(int rank, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.rank = rank;
    }

    /** Which rank was lost, counted from 0; -1 if that is not known. */
    public int rank() {
        return rank;
    }
}
