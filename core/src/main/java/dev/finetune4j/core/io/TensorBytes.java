package dev.finetune4j.core.io;

import java.nio.ByteBuffer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.pytorch.Tensor;

/** The memory of a dense tensor on the CPU, seen as bytes. The tensor has to outlive every view. */
final class TensorBytes {
    private final BytePointer start;

    TensorBytes(Tensor tensor) {
        start = new BytePointer(tensor.data_ptr());
    }

    /** A view of {@code length} bytes from {@code offset} on. */
    ByteBuffer view(long offset, int length) {
        // A buffer of a pointer begins at its address, not at its position, and cannot reach beyond 2 GiB from there.
        return start.getPointer(offset).capacity(length).asByteBuffer();
    }
}
