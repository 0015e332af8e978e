package dev.finetune4j.core.model;

/**
 * Which blocks of a decoder keep nothing but their input for the backward pass and compute the rest again then
 * (<a href="https://arxiv.org/abs/1604.06174">Chen et al. 2016</a>): less memory for about a third more time.
 *
 * @param every one block of so many, the first of them to begin with; 1 for all, 0 for none
 */
public record ActivationPolicy(int every) {
    /** @throws IllegalArgumentException if the number is negative */
    public ActivationPolicy {
        if (every < 0) {
            throw new IllegalArgumentException("every must be 0 (no block), 1 (all blocks) or more, but is " + every);
        }
    }

    /** All blocks keep what they need. */
    public static ActivationPolicy none() {
        return new ActivationPolicy(0);
    }

    /** All blocks compute again. */
    public static ActivationPolicy all() {
        return new ActivationPolicy(1);
    }

    /** One block of so many computes again. */
    public static ActivationPolicy every(int blocks) {
        return new ActivationPolicy(blocks);
    }

    /** Whether this block, counted from 0, computes again. */
    public boolean checkpoints(int block) {
        return every > 0 && block % every == 0;
    }
}
