package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.cpu.AttentionKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Causal attention by a kernel of our own where the device has one, which is a CPU today, and nothing but the causal rule hides a token. */
final class FusedAttention {
    private FusedAttention() {}

    /** Whether it supports tokens in this type, before which there are no others. */
    static boolean supports(Tensor x, Attention.Shape shape, Attention.Context context) {
        return DeviceKernels.of(x).attention(Tensors.typeOf(x)).isPresent()
                && context.mask() == null
                && context.packed() == null
                && shape.softCap() == 0
                && shape.headDim() <= AttentionKernels.MAX_HEAD_SIZE
                && (!GradMode.is_enabled() || TensorScope.ofStep() != null);
    }

    /**
     * Mixes each token with those before it.
     *
     * @param input shape (B, T, (heads + 2 · kv heads) · head size), read by nobody else; its gradient takes its place
     * @return shape (B, T, heads · head size)
     */
    static Tensor attend(Tensor input, Attention.Shape shape) {
        AttentionKernels kernels =
                DeviceKernels.of(input).attention(Tensors.typeOf(input)).orElseThrow();
        AttentionKernels.Heads heads =
                new AttentionKernels.Heads(shape.heads(), shape.kvHeads(), shape.headDim(), (float) shape.scale());
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor qkv = given.contiguous();
                    long batch = qkv.size(0);
                    long tokens = qkv.size(1);
                    Tensor y = Tensors.empty(
                            Tensors.deviceOf(qkv),
                            Tensors.typeOf(qkv),
                            batch,
                            tokens,
                            (long) shape.heads() * shape.headDim());
                    Tensor logs = Tensors.empty(Tensors.deviceOf(qkv), ScalarType.Float, batch, shape.heads(), tokens);
                    kernels.forward(heads, qkv, y, logs);
                    saved.keep(qkv);
                    saved.keep(y);
                    saved.keep(logs);
                    return y;
                },
                (gradient, saved) -> {
                    Tensor qkv = saved.get(0);
                    kernels.backward(heads, qkv, saved.get(1), gradient.contiguous(), saved.get(2), qkv);
                    return qkv.detach();
                });
    }
}
