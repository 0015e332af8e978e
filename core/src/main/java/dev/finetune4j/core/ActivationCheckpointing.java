package dev.finetune4j.core;

/**
 * Activation checkpointing (<a href="https://arxiv.org/abs/1604.06174">Chen et al. 2016</a>): which blocks of a decoder keep
 * nothing but their input for the backward pass and recompute the rest then. Less memory for about a third more time.
 *
 * @param every one block of so many, the first of them to begin with; 1 for all, 0 for none
 */
public record ActivationCheckpointing(int every) {
    /** @throws IllegalArgumentException if the number is negative */
    public ActivationCheckpointing {
        if (every < 0) {
            throw new IllegalArgumentException("every must be 0 (no block), 1 (all blocks) or more, but is " + every);
        }
    }

    /** All blocks keep what they need. */
    public static ActivationCheckpointing none() {
        return new ActivationCheckpointing(0);
    }

    /** All blocks recompute. */
    public static ActivationCheckpointing all() {
        return new ActivationCheckpointing(1);
    }

    /** One block of so many recomputes. */
    public static ActivationCheckpointing every(int blocks) {
        return new ActivationCheckpointing(blocks);
    }

    /** Whether this block, counted from 0, recomputes. */
    public boolean recomputes(int block) {
        return every > 0 && block % every == 0;
    }
}
