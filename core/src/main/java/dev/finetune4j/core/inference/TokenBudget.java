package dev.finetune4j.core.inference;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.message.ByteCount;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.nn.Attention;
import java.util.function.LongUnaryOperator;

/** For how many tokens there is memory for keys and values, and how many of them are taken. Thread-safe. */
public final class TokenBudget {
    /** The share of the free memory that keys and values may take. */
    public static final double SHARE = 0.8;

    private final ComputeDevice device;
    private final LongUnaryOperator others;
    private final long bytesOfToken;
    private long all;
    private long taken;

    /**
     * @param all how many; 0 for as many as fit into a share of what is free at the first question
     * @param others bytes that will be taken for something else, of those that are free
     */
    TokenBudget(CausalLM model, long all, LongUnaryOperator others) {
        this.device = model.placement().device();
        this.bytesOfToken = bytesOfToken(model.config(), model.placement().precision());
        this.all = all;
        this.others = others;
    }

    /** The bytes of the keys and values of one token. */
    public static long bytesOfToken(ModelConfig config, Precision precision) {
        Attention.Shape shape = config.attention();
        return 2L * config.layers() * shape.kvHeads() * shape.headDim() * precision.bytes();
    }

    /** For how many tokens room is made when a text has so many: buffers grow by doubling. */
    public static long rounded(long tokens) {
        return tokens <= 1 ? 1 : Long.highestOneBit(tokens - 1) * 2;
    }

    /**
     * Checks that a text of that many tokens fits when it is alone.
     *
     * @throws FineTune4jException when it does not
     */
    synchronized void requireFits(long tokens) {
        if (all == 0) {
            long free = DeviceMemory.of(device).free();
            all = Math.max(1, (long) ((free - others.applyAsLong(free)) * SHARE) / bytesOfToken);
        }
        if (rounded(tokens) > all) {
            throw new FineTune4jException("a text of up to " + tokens + " tokens takes room for " + rounded(tokens)
                    + " (" + ByteCount.text(rounded(tokens) * bytesOfToken) + "), but all texts of the batch together"
                    + " have room for " + all + "; shorten the prompt, lower maxNewTokens, or raise"
                    + " BatchSettings.maxTokens");
        }
    }

    /**
     * How many texts of so many tokens have room at once.
     *
     * @throws FineTune4jException when not even one has
     */
    synchronized long most(long tokens) {
        requireFits(tokens);
        return all / rounded(tokens);
    }

    /** Takes room for a text; false when there is not enough left. */
    synchronized boolean take(long tokens) {
        if (taken + rounded(tokens) > all) {
            return false;
        }
        taken += rounded(tokens);
        return true;
    }

    synchronized void giveBack(long tokens) {
        taken -= rounded(tokens);
    }
}
