package dev.finetune4j.core.nn;

import java.util.List;

/**
 * How the rotary frequencies of a decoder go with the length of a text: with most kinds of {@link RopeScaling} not at all.
 *
 * @param ropes of the layers' kinds
 */
public record TextFrequencies(List<RopeSpec> ropes) {
    /** Those of a decoder whose texts all have the same. */
    static final TextFrequencies FIXED = new TextFrequencies(List.of());

    public TextFrequencies {
        ropes = List.copyOf(ropes);
    }

    /**
     * Stands for all lengths with the same frequencies.
     *
     * @param length positions of a text
     */
    public long key(long length) {
        // None of the keys falls with the length, so that their sum stays the same where all of them do.
        return ropes.stream().mapToLong(rope -> rope.tableKey(length)).sum();
    }

    /**
     * Whether the keys of a text stay as they are while it grows, or all of them have to be computed anew.
     *
     * @param from positions that it has had
     * @param to positions that it has now
     */
    boolean lastWhileGrowing(long from, long to) {
        return ropes.stream()
                .filter(RopeSpec::changesAtOnce)
                .allMatch(rope -> rope.tableKey(from) == rope.tableKey(to));
    }
}
