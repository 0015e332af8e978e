package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.ComputeDevice;
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
 * would not see (<a href="https://arxiv.org/abs/2205.14135">FlashAttention, Dao et al. 2022</a>, with lengths that vary).
 *
 * @param starts first position of each sequence and the end of the last, int32, shape (n + 1)
 * @param longest length of the longest
 */
public record PackedSequences(Tensor starts, long longest) {
    /** Whether a device has attention of this kind in a type. */
    public static boolean serve(ComputeDevice device, ScalarType type) {
        return device.kind() == ComputeDevice.Kind.CUDA && type.intern() == ScalarType.BFloat16;
    }

    /** Sequences of these lengths; the caller's scope owns the tensor. */
    public static PackedSequences of(ComputeDevice device, long... lengths) {
        long[] starts = new long[lengths.length + 1];
        for (int i = 0; i < lengths.length; i++) {
            starts[i + 1] = starts[i] + lengths[i];
        }
        Tensor tensor = Tensors.ofLongs(device, starts, starts.length).to(ScalarType.Int);
        return new PackedSequences(tensor, Arrays.stream(lengths).max().orElse(0));
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
                    new IValue(longest),
                    new IValue(longest),
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
