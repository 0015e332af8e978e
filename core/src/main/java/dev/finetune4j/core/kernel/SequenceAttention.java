package dev.finetune4j.core.kernel;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * Causal attention of whole sequences in one form, forward and backward, by an implementation that never has all scores of a
 * sequence in memory. Thread-safe.
 */
public interface SequenceAttention {
    /**
     * Where the sequences of a packed row begin.
     *
     * @param starts first position of each and the end of the last, int32, shape (n + 1), on the device of the rows
     * @param lengths their lengths; an implementation whose {@link #readsStarts} reads them on the device alone
     * @param shared where sequences begin with tokens of others; null where none does
     */
    record Bounds(Tensor starts, long[] lengths, @Nullable SharedKeys shared) {}

    /**
     * A mix of values.
     *
     * @param y shape (B, T, heads · head size), contiguous
     * @param kept what the backward pass needs besides y
     */
    record Mixed(Tensor y, List<Tensor> kept) {}

    /**
     * Gradients of queries, keys and values, each (B, T, n, head size) with channels side by side.
     *
     * @param joint all three behind one another as queries, keys and values are, if that is how they lie; else null
     */
    record Gradients(
            Tensor queries,
            Tensor keys,
            Tensor values,
            @Nullable Tensor joint) {
        /** All three behind one another, (B, T, …). */
        public Tensor concatenated() {
            return joint == null
                    ? torch.cat(new TensorVector(queries, keys, values), 2).flatten(2, 3)
                    : joint;
        }
    }

    /** Whether the launches for packed rows depend on their total length alone. */
    boolean readsStarts();

    /** Whether sequences of a packed row may begin with tokens of others. */
    boolean readsSharedKeys();

    /**
     * Mixes each token with those before it.
     *
     * @param qkv queries, keys and values of a token behind one another, shape (B, T, (heads + 2 · kv heads) · head size),
     *     contiguous
     * @param packed the sequences of a packed row, B = 1; null when each row is one sequence
     * @param recorded whether a backward pass follows
     */
    Mixed forward(Tensor qkv, @Nullable Bounds packed, boolean recorded);

    /**
     * The gradients.
     *
     * @param qkv of the forward pass; the gradients may take its memory
     * @param gradient of y, contiguous
     */
    Gradients backward(Tensor qkv, @Nullable Bounds packed, Mixed mixed, Tensor gradient);

    /** Queries, keys and values as views (B, T, n, head size) of rows that hold them behind one another. */
    static Gradients split(AttentionSpec spec, Tensor joint) {
        long size = spec.headDim();
        Tensor heads = joint.view(joint.size(0), joint.size(1), spec.heads() + 2L * spec.kvHeads(), size);
        return new Gradients(
                heads.narrow(2, 0, spec.heads()),
                heads.narrow(2, spec.heads(), spec.kvHeads()),
                heads.narrow(2, spec.heads() + (long) spec.kvHeads(), spec.kvHeads()),
                joint);
    }
}
