package dev.finetune4j.core.io;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.Arrays;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Named tensors that stay on disk until they are read, one at a time. {@link ModelFiles#weights()} and {@link
 * SafetensorsFile#open} give implementations that are safe to use from several threads.
 */
public interface WeightSource extends AutoCloseable {
    /**
     * The names of all tensors, in the order of the file, or of the index and then of what its shards hold beside it;
     * unmodifiable.
     *
     * @throws IllegalStateException after {@link #close()}
     */
    Set<String> names();

    /**
     * What is known of a tensor without reading it.
     *
     * @throws dev.finetune4j.core.ModelFileException when there is no such tensor
     * @throws IllegalStateException after {@link #close()}
     */
    TensorInfo info(String name);

    /**
     * Reads a tensor to the CPU, in the type and shape of the file. The result is a copy: it stays valid after {@link
     * #close()} and belongs to the innermost open {@link TensorScope}, or to the caller
     * when there is none.
     *
     * @throws dev.finetune4j.core.ModelFileException when there is no such tensor, when libtorch has no type for it,
     *     or when the file cannot be read
     * @throws IllegalStateException after {@link #close()}
     */
    Tensor read(String name);

    /**
     * Reads some rows of a tensor, as {@link #read} does: of a tensor of more dimensions the rows of all its matrices, in their order.
     *
     * @param first the first of them
     * @param count how many
     * @return shape (count, innermost extent)
     */
    default Tensor readRows(String name, long first, long count) {
        long[] shape = info(name).shape();
        try (TensorScope scope = new TensorScope()) {
            Tensor rows = read(name).reshape(-1, shape[shape.length - 1]);
            return scope.keep(rows.narrow(0, first, count).clone());
        }
    }

    /**
     * Whether two tensors have type, shape and all numbers in common.
     *
     * @throws dev.finetune4j.core.ModelFileException when there is no such tensor, or when the file cannot be read
     * @throws IllegalStateException after {@link #close()}
     */
    default boolean areEqual(String name, String other) {
        TensorInfo info = info(name);
        if (info.dtype() != info(other).dtype()
                || !Arrays.equals(info.shape(), info(other).shape())) {
            return false;
        }
        try (TensorScope scope = new TensorScope()) {
            return torch.equal(read(name), read(other));
        }
    }

    /** Closes the files. Closing twice is fine. */
    @Override
    void close();
}
