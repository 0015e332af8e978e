package dev.finetune4j.core.nn;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import org.bytedeco.pytorch.Dispatcher;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Where the sequences of a packed row lie, for attention that never looks from one at another and does no work for what it
 * would not see. In bfloat16 on a GPU that is one call of FlashAttention with lengths that vary
 * (<a href="https://arxiv.org/abs/2205.14135">Dao et al. 2022</a>), which reads the places from the device, so that a captured
 * CUDA graph serves any other lengths that are copied there; elsewhere attention goes through the sequences one by one.
 *
 * @param starts first position of each sequence and the end of the last, int32, shape (n + 1)
 * @param positions of the tokens in their own sequences, int64, shape (T)
 * @param lengths of the sequences; their sum is T, and some may be 0
 */
public record PackedSequences(Tensor starts, Tensor positions, long[] lengths) {
    /** The heads that FlashAttention takes. */
    private static final int HEAD_MULTIPLE = 8;

    private static final int MAX_HEAD_SIZE = 256;

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
        return shape.softCap() == 0
                && shape.headDim() % HEAD_MULTIPLE == 0
                && shape.headDim() <= MAX_HEAD_SIZE
                && DeviceKernels.of(device).attendsPacked(type);
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

    /**
     * Causal attention within each sequence.
     *
     * @param q shape (1, heads, T, head size)
     * @param k shape (1, kv heads, T, head size)
     * @param v as k
     * @param window how many positions a token sees, itself included; 0 for all
     * @return shape (1, heads, T, head size)
     */
    Tensor attend(Tensor q, Tensor k, Tensor v, double scale, int window) {
        try (TensorScope scope = new TensorScope()) {
            OperatorHandle operator = Dispatcher.singleton().findSchemaOrThrow("aten::_flash_attention_forward", "");
            IValue none = new IValue();
            IValueVector stack = new IValueVector(
                    rows(q),
                    rows(k),
                    rows(v),
                    new IValue(starts),
                    new IValue(starts),
                    new IValue(total()), // an upper bound of the lengths, the same for all of a graph
                    new IValue(total()),
                    new IValue(0.0), // dropout
                    new IValue(true), // causal
                    new IValue(false), // no mask returned for debugging
                    new IValue(scale),
                    window == 0 ? none : new IValue(window - 1L),
                    window == 0 ? none : new IValue(0L),
                    none,
                    none);
            operator.callBoxed(stack);
            Tensor mixed = stack.get(0).toTensor(); // (T, heads, head size)
            return scope.keep(mixed.transpose(0, 1).unsqueeze(0));
        }
    }

    /** (1, n, T, head size) as (T, n, head size). */
    private static IValue rows(Tensor x) {
        return new IValue(x.select(0, 0).transpose(0, 1));
    }
}
