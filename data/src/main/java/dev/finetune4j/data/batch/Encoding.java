package dev.finetune4j.data.batch;

import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * How examples become tokens and labels.
 *
 * @param maxLength tokens that a sequence may have, at least 2
 * @param truncation what becomes of longer ones
 * @param trainOn which tokens are learned
 * @param cache the folder that keeps encoded rows; null for none
 * @param beforehand whether rows that are not in memory are encoded into a file first, as packing needs it and a cache does it,
 *     rather than when they are needed
 */
public record Encoding(
        int maxLength,
        Truncation truncation,
        TrainOn trainOn,
        @Nullable Path cache,
        boolean beforehand) {
    /** Without a cache, and when they are needed. */
    public Encoding(int maxLength, Truncation truncation, TrainOn trainOn) {
        this(maxLength, truncation, trainOn, null, false);
    }

    /** @throws IllegalArgumentException if {@code maxLength} is less than 2 */
    public Encoding {
        if (maxLength < 2) {
            throw new IllegalArgumentException("maxLength is " + maxLength
                    + ", but an example has a prompt and an answer; allow 2 tokens or more");
        }
        Objects.requireNonNull(truncation, "truncation");
        Objects.requireNonNull(trainOn, "trainOn");
    }
}
