package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;

/** The keys and values that one layer has before the positions of a forward pass. */
@FunctionalInterface
public interface KvStore {
    /**
     * Keys and values of all positions, as views or new tensors.
     *
     * @param keys shape (B, kv heads, past + T, head size)
     * @param values the same shape
     */
    record KeysAndValues(Tensor keys, Tensor values) {}

    /**
     * Adds those of new positions.
     *
     * @param newKeys shape (B, kv heads, T, head size)
     * @param newValues the same shape
     */
    KeysAndValues update(Tensor newKeys, Tensor newValues);
}
