package dev.finetune4j.lora.plan.estimate;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.nn.TokenSlices;
import java.util.List;
import java.util.stream.IntStream;

/**
 * What a batch takes in the blocks of a model, whichever of them compute again: the policy is asked for afterwards.
 *
 * @param blocks the bytes of a token in each block
 * @param positions of a sequence, virtual ones included
 * @param tokens of all sequences together
 * @param sizes of the blocks, in order
 */
record BatchBytes(BlockBytes blocks, long positions, long tokens, List<Block> sizes) {
    /**
     * The bytes of a block.
     *
     * @param kept where it does not compute again
     * @param working the most that its passes take besides
     * @param again kept while it does compute again, but for a slice
     * @param workingAgain the most that it takes besides then
     * @param mixed the part of again that attention gave
     */
    record Block(long kept, long working, long again, long workingAgain, long mixed) {}

    /**
     * The bytes of a batch.
     *
     * @param layers how many blocks there are
     * @param positions of a sequence, virtual ones included
     * @param tokens of all sequences together
     * @param prefix whether keys and values stand before those of the first token
     */
    static BatchBytes of(BlockBytes blocks, int layers, long positions, long tokens, boolean prefix) {
        List<Block> sizes = IntStream.range(0, layers)
                .mapToObj(index -> block(blocks, index, positions, tokens, prefix))
                .toList();
        return new BatchBytes(blocks, positions, tokens, sizes);
    }

    private static Block block(BlockBytes blocks, int index, long positions, long tokens, boolean prefix) {
        if (blocks.isPassedWithoutGradients(index)) {
            long forward = tokens * blocks.forwardOnly(index, positions, prefix);
            return new Block(0, forward, 0, forward, 0);
        }
        long masked = blocks.mask(index, positions, prefix) + blocks.castWeights(index);
        long kept = tokens * blocks.kept(index, positions, prefix) + masked;
        long working = tokens * blocks.working(index, positions, prefix);
        long mixed = tokens * blocks.mixed(index, positions, prefix);
        if (tokens <= TokenSlices.TOKENS) {
            return new Block(kept, working, kept, working, mixed);
        }
        long attention = blocks.keptByAttention(index, positions, prefix) + blocks.checkpoint();
        return new Block(
                kept,
                working,
                tokens * attention + masked,
                Math.max(
                        tokens * blocks.workingOfAttention(index, positions, prefix),
                        tokens * 2 * blocks.checkpoint() + TokenSlices.TOKENS * blocks.slice(index)),
                mixed);
    }

    /** What the blocks leave for their backward passes. */
    long kept(ActivationCheckpointing policy) {
        return IntStream.range(0, sizes.size())
                .mapToLong(index -> kept(index, policy))
                .sum();
    }

    /** What a block leaves for its backward pass. The last one never computes again as a whole: its turn comes at once. */
    private long kept(int index, ActivationCheckpointing policy) {
        Block block = sizes.get(index);
        if (!policy.recomputes(index)) {
            return block.kept();
        }
        return isLast(index) ? block.again() : tokens * blocks.checkpoint() + mixed(block, policy);
    }

    private boolean isLast(int index) {
        return index + 1 == sizes.size();
    }

    private static long mixed(Block block, ActivationCheckpointing policy) {
        return policy.keepsAttention() ? block.mixed() : 0;
    }

    /** The most that a block takes while it runs, less what the ones behind it have given back by then. */
    long working(ActivationCheckpointing policy) {
        long most = 0;
        long givenBack = 0;
        for (int i = sizes.size() - 1; i >= 0; i--) {
            Block block = sizes.get(i);
            boolean recomputed = policy.recomputes(i);
            long again = recomputed && !isLast(i) ? block.again() - mixed(block, policy) : 0;
            long working = recomputed ? block.workingAgain() : block.working();
            most = Math.max(most, again + working - givenBack);
            givenBack += kept(i, policy);
        }
        return most;
    }

    /** The multiplications that a policy adds. The last block is never recomputed. */
    double recomputed(ActivationCheckpointing policy) {
        double sum = 0;
        for (int i = 0; i + 1 < sizes.size(); i++) {
            if (policy.recomputes(i)) {
                boolean kept = policy.keepsAttention() && sizes.get(i).mixed() > 0;
                sum += blocks.linearCost(i) + (kept ? 0 : blocks.attentionCost(i, positions));
            }
        }
        return sum * tokens;
    }
}
