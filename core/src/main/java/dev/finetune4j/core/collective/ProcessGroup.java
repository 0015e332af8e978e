package dev.finetune4j.core.collective;

import org.bytedeco.pytorch.Tensor;

/** A library of collective operations. Confined to the training thread but for {@link #abort}. */
interface ProcessGroup extends AutoCloseable {
    /** Adds up, in place; on the CPU it is done on return. */
    void sum(Tensor values);

    /** Overwrites with the values of rank 0. */
    void broadcast(Tensor values);

    /** Ends operations that wait for a rank which is no more; for any thread. */
    void abort();

    /** Frees what it has; to be called when no rank needs another any more, and not after {@link #abort}. */
    @Override
    void close();
}
