package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.AttentionKernels;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
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

    @Override
    public boolean readsSharedKeys() {
        return true;
    }

    /**
     * Sequences of one length.
     *
     * @param start first token of their own
     * @param count tokens of their own
     * @param prefix what they begin with
     * @param logs index of their first logarithm
     */
    private record Part(long start, long count, SharedKeys.Prefix prefix, long logs) {
        /** Tokens of a sequence in all. */
        long length() {
            return prefix.length() + count;
        }

        boolean isShared() {
            return prefix.length() > 0;
        }

        /** All of its tokens: those of a prefix are copied to stand before its own. */
        Tensor of(Tensor rows) {
            Tensor own = rows.narrow(1, start, count);
            return isShared()
                    ? torch.cat(new TensorVector(rows.narrow(1, prefix.start(), prefix.length()), own), 1)
                    : own;
        }

        /** What of all of its tokens is its own. */
        Tensor own(Tensor all) {
            return all.narrow(1, prefix.length(), count);
        }
    }

    private List<Part> parts(Tensor qkv, @Nullable Bounds packed) {
        if (packed == null) {
            return List.of(new Part(0, qkv.size(1), SharedKeys.Prefix.NONE, 0));
        }
        List<Part> parts = new ArrayList<>();
        long start = 0;
        long logs = 0;
        for (int i = 0; i < packed.lengths().length; i++) {
            long length = packed.lengths()[i];
            if (length > 0) {
                SharedKeys.Prefix prefix = packed.shared() == null
                        ? SharedKeys.Prefix.NONE
                        : packed.shared().prefixes().get(i);
                Part part = new Part(start, length, prefix, logs);
                parts.add(part);
                logs += part.length() * spec.heads();
            }
            start += length;
        }
        return parts;
    }

    /** The logarithms of a part: those of a sequence lie together. */
    private Tensor logs(Tensor all, Part part, long batch) {
        return all.narrow(0, part.logs(), batch * part.length() * spec.heads());
    }

    @Override
    public Mixed forward(Tensor qkv, @Nullable Bounds packed, boolean recorded) {
        long batch = qkv.size(0);
        long tokens = qkv.size(1);
        List<Part> parts = parts(qkv, packed);
        Tensor y = Tensors.empty(
                ComputeDevice.cpu(), Tensors.typeOf(qkv), batch, tokens, (long) spec.heads() * spec.headDim());
        long all = parts.stream().mapToLong(Part::length).sum();
        Tensor logs = Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, batch * all * spec.heads());
        for (Part part : parts) {
            Tensor own = y.narrow(1, part.start(), part.count());
            Tensor mixed = part.isShared()
                    ? Tensors.empty(ComputeDevice.cpu(), Tensors.typeOf(qkv), 1, part.length(), y.size(2))
                    : own;
            kernels.forward(heads, part.of(qkv), mixed, logs(logs, part, batch));
            if (part.isShared()) {
                own.copy_(part.own(mixed));
            }
        }
        return new Mixed(y, List.of(logs));
    }

    @Override
    public Gradients backward(Tensor qkv, @Nullable Bounds packed, Mixed mixed, Tensor gradient) {
        Tensor logs = mixed.kept().get(0);
        List<Part> parts = parts(qkv, packed);
        // They read their prefixes, whose gradients take their place afterwards.
        Map<Part, Tensor> shared = new LinkedHashMap<>();
        for (Part part : parts) {
            if (part.isShared()) {
                Tensor rows = part.of(qkv);
                Tensor wanted = part.of(gradient);
                wanted.narrow(1, 0, part.prefix().length()).zero_();
                kernels.backward(heads, rows, part.of(mixed.y()), wanted, logs(logs, part, 1), rows);
                shared.put(part, rows);
            }
        }
        for (Part part : parts) {
            if (!part.isShared()) {
                Tensor rows = part.of(qkv);
                kernels.backward(
                        heads, rows, part.of(mixed.y()), part.of(gradient), logs(logs, part, qkv.size(0)), rows);
            }
        }
        shared.forEach((part, rows) -> {
            qkv.narrow(1, part.start(), part.count()).copy_(part.own(rows));
            SharedKeys.Prefix prefix = part.prefix();
            qkv.narrow(1, prefix.start(), prefix.length()).add_(rows.narrow(1, 0, prefix.length()));
        });
        return SequenceAttention.split(spec, qkv);
    }
}
