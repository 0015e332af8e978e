package dev.finetune4j.core.nn;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.SequenceAttention;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Where the sequences of a packed row lie, for attention that never looks from one at another and does no work for what it
 * would not see. In bfloat16 on a GPU that is one call of an attention with lengths that vary
 * (<a href="https://arxiv.org/abs/2205.14135">Dao et al. 2022</a>), which reads the places from the device, so that a captured
 * CUDA graph serves any other lengths that are copied there; elsewhere attention goes through the sequences one by one.
 *
 * @param starts first position of each sequence and the end of the last, int32, shape (n + 1)
 * @param positions of the tokens in their own sequences, int64, shape (T)
 * @param lengths of the sequences; their sum is T, and some may be 0
 */
public record PackedSequences(Tensor starts, Tensor positions, long[] lengths) {
    /** Sequences of these lengths; the caller's scope owns the tensors. */
    public static PackedSequences of(ComputeDevice device, long... lengths) {
        long[] starts = new long[lengths.length + 1];
        for (int i = 0; i < lengths.length; i++) {
            starts[i + 1] = starts[i] + lengths[i];
        }
        long[] positions = new long[Math.toIntExact(starts[lengths.length])];
        for (int i = 0; i < lengths.length; i++) {
            for (long at = starts[i]; at < starts[i + 1]; at++) {
                positions[(int) at] = at - starts[i];
            }
        }
        return new PackedSequences(
                Tensors.ofLongs(device, starts, starts.length).to(ScalarType.Int),
                Tensors.ofLongs(device, positions, positions.length),
                lengths.clone());
    }

    /**
     * Whether attention takes the whole row at once, so that its launches do not depend on the lengths.
     *
     * @param type of queries, keys and values
     */
    public static boolean isOneCall(ComputeDevice device, ScalarType type, Attention.Shape shape) {
        return DeviceKernels.of(device)
                .attention(shape.spec(0), type)
                .map(SequenceAttention::readsStarts)
                .orElse(false);
    }

    /** The same in memory of its own; the caller's scope owns the tensors. */
    public PackedSequences copy() {
        return new PackedSequences(starts.clone(), positions.clone(), lengths.clone());
    }

    /** T. */
    public long total() {
        return positions.size(0);
    }

    /** Length of the longest sequence. */
    public long longest() {
        return Arrays.stream(lengths).max().orElse(0);
    }
}
