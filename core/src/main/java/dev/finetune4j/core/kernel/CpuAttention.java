package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.AttentionKernels;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** On a CPU by a kernel of our own, through the sequences of a packed row one by one. */
final class CpuAttention implements SequenceAttention {
    private final AttentionKernels kernels;
    private final AttentionSpec spec;
    private final AttentionKernels.Heads heads;

    CpuAttention(AttentionKernels kernels, AttentionSpec spec) {
        this.kernels = kernels;
        this.spec = spec;
        this.heads = new AttentionKernels.Heads(
                spec.heads(),
                spec.kvHeads(),
                spec.headDim(),
                (float) spec.scale(),
                (float) spec.softCap(),
                spec.window());
    }

    @Override
    public boolean readsStarts() {
        return false;
    }

    /** Does something with tokens that are sequences of one length. */
    @FunctionalInterface
    private interface Part {
        /**
         * @param start first token
         * @param count tokens of a sequence
         */
        void run(long start, long count);
    }

    private static void forEach(Tensor qkv, @Nullable Bounds packed, Part part) {
        if (packed == null) {
            part.run(0, qkv.size(1));
            return;
        }
        long start = 0;
        for (long length : packed.lengths()) {
            if (length > 0) {
                part.run(start, length);
            }
            start += length;
        }
    }

    private static Tensor part(Tensor rows, long start, long count) {
        return rows.narrow(1, start, count);
    }

    /** The logarithms of some tokens of a packed row, or of all rows: those of a sequence lie together. */
    private Tensor logs(Tensor all, long start, long count, long batch) {
        return all.narrow(0, start * spec.heads(), batch * count * spec.heads());
    }

    @Override
    public Mixed forward(Tensor qkv, @Nullable Bounds packed, boolean recorded) {
        long batch = qkv.size(0);
        long tokens = qkv.size(1);
        Tensor y = Tensors.empty(
                ComputeDevice.cpu(), Tensors.typeOf(qkv), batch, tokens, (long) spec.heads() * spec.headDim());
        Tensor logs = Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, batch * tokens * spec.heads());
        forEach(
                qkv,
                packed,
                (start, count) -> kernels.forward(
                        heads, part(qkv, start, count), part(y, start, count), logs(logs, start, count, batch)));
        return new Mixed(y, List.of(logs));
    }

    @Override
    public Gradients backward(Tensor qkv, @Nullable Bounds packed, Mixed mixed, Tensor gradient) {
        Tensor logs = mixed.kept().get(0);
        forEach(qkv, packed, (start, count) -> {
            Tensor rows = part(qkv, start, count);
            kernels.backward(
                    heads,
                    rows,
                    part(mixed.y(), start, count),
                    part(gradient, start, count),
                    logs(logs, start, count, qkv.size(0)),
                    rows);
        });
        return SequenceAttention.split(spec, qkv);
    }
}
