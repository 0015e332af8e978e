package dev.finetune4j.core.kernel.cpu;

import dev.finetune4j.core.tensor.Tensors;
import java.util.Objects;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A weight in 4-bit codes as the kernels take it: where its parts are. Borrows the memory, which must outlive it.
 * Immutable.
 */
public final class FourBitWeight {
    private static final int SCALES_PER_OUTER = 256;
    private static final int CODES = 16;

    final long packed;
    final int shift;
    final long table;
    final long absmax;
    final long nested;
    final long map;
    final float offset;
    private final long elements;

    /**
     * Scales of the blocks.
     *
     * @param absmax float32: one for each block, or for each 256 blocks when these have codes
     * @param nested uint8, the 8-bit code of each block's scale, or null
     * @param map float32 (256), the numbers of the 8-bit codes; null when there are none
     * @param offset added to the scales that have codes
     */
    public record Scales(
            Tensor absmax,
            @Nullable Tensor nested,
            @Nullable Tensor map,
            float offset) {}

    /**
     * A weight of these parts.
     *
     * @param packed uint8, two codes in a byte
     * @param elements how many weights there are
     * @param blockSize weights that share a scale, a power of two from 32
     * @param table the numbers of the 16 codes
     * @throws IllegalArgumentException if a part is not on the CPU, of another type, or too short
     */
    public FourBitWeight(Tensor packed, long elements, int blockSize, FloatPointer table, Scales scales) {
        if (blockSize < 32 || Integer.bitCount(blockSize) != 1 || table.limit() < CODES) {
            throw new IllegalArgumentException(
                    "a block has a power of two from 32 of weights, not " + blockSize + ", and 16 codes have numbers");
        }
        this.elements = elements;
        this.shift = Integer.numberOfTrailingZeros(blockSize);
        this.packed = address("codes", packed, ScalarType.Byte, (elements + 1) / 2);
        this.table = table.address();
        long blocks = (elements + blockSize - 1) / blockSize;
        this.offset = scales.offset();
        if (scales.nested() == null) {
            this.nested = 0;
            this.map = 0;
            this.absmax = address("scales", scales.absmax(), ScalarType.Float, blocks);
        } else {
            long outer = (blocks + SCALES_PER_OUTER - 1) / SCALES_PER_OUTER;
            this.nested = address("codes of scales", scales.nested(), ScalarType.Byte, blocks);
            this.map = address(
                    "numbers of scales", Objects.requireNonNull(scales.map()), ScalarType.Float, SCALES_PER_OUTER);
            this.absmax = address("outer scales", scales.absmax(), ScalarType.Float, outer);
        }
    }

    /** How many weights there are. */
    public long elements() {
        return elements;
    }

    /** Where the numbers of a tensor begin, once it is known to be what is expected. */
    static long address(String name, Tensor tensor, ScalarType type, long least) {
        if (Tensors.typeOf(tensor) != type || !tensor.is_contiguous() || tensor.numel() < least) {
            throw new IllegalArgumentException("the " + name + " must be " + type + ", contiguous, at least " + least
                    + " of them, but are " + Tensors.typeOf(tensor) + ", " + tensor.numel());
        }
        return address(tensor);
    }

    /** Where the numbers of a tensor begin: the one way down to native code, which would take the address of a GPU too. */
    static long address(Tensor tensor) {
        if (tensor.is_cuda()) {
            throw new IllegalArgumentException(
                    "the kernels of the CPU take tensors on the CPU, not on " + Tensors.deviceOf(tensor));
        }
        try (Pointer start = tensor.data_ptr()) {
            return start.address();
        }
    }
}
