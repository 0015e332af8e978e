package dev.finetune4j.core;

/**
 * Activation checkpointing (<a href="https://arxiv.org/abs/1604.06174">Chen et al. 2016</a>): which blocks of a decoder keep
 * nothing but their input for the backward pass and recompute the rest then. Less memory for about a third more time. Of those
 * blocks the result of attention can be kept, as in PyTorch's selective checkpointing: it takes as much memory as their input,
 * and its cost is the only one that grows with the square of the context.
 *
 * @param every one block of so many, the first of them to begin with; 1 for all, 0 for none
 * @param keepsAttention whether blocks that recompute keep what their heads gave, where attention of whole sequences has a kernel
 *     of its own; elsewhere it is recomputed all the same
 */
public record ActivationCheckpointing(int every, boolean keepsAttention) {
    /** @throws IllegalArgumentException if the number is negative */
    public ActivationCheckpointing {
        if (every < 0) {
            throw new IllegalArgumentException("every must be 0 (no block), 1 (all blocks) or more, but is " + every);
        }
    }

    /** Blocks that recompute keep nothing but their input. */
    public ActivationCheckpointing(int every) {
        this(every, false);
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

    /** The same, with the result of attention kept. */
    public ActivationCheckpointing keepingAttention() {
        return new ActivationCheckpointing(every, true);
    }

    /** Whether this block, counted from 0, recomputes. */
    public boolean recomputes(int block) {
        return every > 0 && block % every == 0;
    }
}
