package dev.finetune4j.core.kernel;

import org.bytedeco.pytorch.Tensor;

/** Where the keys and values of one sequence, or of several of one length, lie. It may move between steps, but not in one. */
public interface KeyValueMemory {
    /** For how many positions there is room. */
    long capacity();

    /** How often a tensor has been replaced so far: as long as it stays the same, so do {@link #keys} and {@link #values}. */
    long moves();

    /** The keys of a layer, contiguous, shape (B, kv heads, capacity, head size). */
    Tensor keys(int layer);

    /** The values of a layer, as {@link #keys}. */
    Tensor values(int layer);
}
