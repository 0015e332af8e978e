package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Cross entropy of the next token, summed over the positions that have a label, with the vocabulary projection done for a
 * chunk of positions at a time: one chunk of logits is in memory, never all of them, and positions without a label cost
 * nothing.
 *
 * <p>Each chunk goes forward <em>and</em> backward at once. Its gradient is collected on a detached copy of the hidden
 * states, from which a single backward pass then runs through the model.
 */
public final class NextTokenLoss {
    /** The label of a position that is not to be learned. */
    public static final long IGNORE = -100;

    /** How many positions are projected to the vocabulary at a time. */
    public static final int ROWS_PER_CHUNK = 1024;

    private static final int SUM = 2;

    private NextTokenLoss() {}

    /**
     * Adds the gradient of {@code scale} times the summed loss to everything that can be trained.
     *
     * @param hidden shape (B, T, D), the decoder's output
     * @param head the projection to the vocabulary, (n, D) to (n, V)
     * @param labels the id that each position must predict, row-major (B, T); {@link #IGNORE} where there is none
     * @param scale factor on the loss, usually one over the step's number of target tokens
     * @return the loss summed over the labelled positions, not scaled
     */
    public static double backward(Tensor hidden, UnaryOperator<Tensor> head, long[] labels, double scale) {
        try (TensorScope scope = new TensorScope()) {
            Targets targets = Targets.of(labels, hidden);
            Tensor leaf = hidden.detach().set_requires_grad(true);
            double sum = 0;
            for (int start = 0; start < targets.count(); start += ROWS_PER_CHUNK) {
                try (TensorScope chunk = new TensorScope()) {
                    Tensor loss = chunkLoss(leaf, head, targets, start);
                    loss.mul(new Scalar(scale)).backward();
                    sum += loss.item_double();
                }
            }
            if (hidden.requires_grad() && targets.count() > 0) {
                backwardFrom(hidden, leaf.grad());
            }
            return sum;
        }
    }

    /** The loss summed over the labelled positions, without gradients. */
    public static double sum(Tensor hidden, UnaryOperator<Tensor> head, long[] labels) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Targets targets = Targets.of(labels, hidden);
            double sum = 0;
            for (int start = 0; start < targets.count(); start += ROWS_PER_CHUNK) {
                try (TensorScope chunk = new TensorScope()) {
                    sum += chunkLoss(hidden, head, targets, start).item_double();
                }
            }
            return sum;
        }
    }

    private static Tensor chunkLoss(Tensor hidden, UnaryOperator<Tensor> head, Targets targets, int start) {
        long rows = Math.min(ROWS_PER_CHUNK, targets.count() - start);
        Tensor positions = targets.positions().narrow(0, start, rows);
        Tensor chosen = hidden.view(-1, hidden.size(2)).index_select(0, positions); // (n, D)
        Tensor logits = Tensors.as(head.apply(chosen), ScalarType.Float); // (n, V)
        return torch.cross_entropy_loss(
                logits, targets.ids().narrow(0, start, rows), new TensorOptional(), SUM, IGNORE, 0.0);
    }

    private static void backwardFrom(Tensor root, Tensor gradient) {
        root.backward(
                gradient,
                new org.bytedeco.pytorch.BoolOptional(),
                false,
                new org.bytedeco.pytorch.TensorArrayRefOptional());
    }

    /** The labelled positions of the flattened batch and the ids wanted there. */
    private record Targets(Tensor positions, Tensor ids, int count) {
        static Targets of(long[] labels, Tensor hidden) {
            if (labels.length != hidden.size(0) * hidden.size(1)) {
                throw new IllegalArgumentException("there are " + labels.length + " labels for " + hidden.size(0)
                        + " x " + hidden.size(1) + " positions");
            }
            long[] positions = new long[labels.length];
            long[] ids = new long[labels.length];
            int count = 0;
            for (int i = 0; i < labels.length; i++) {
                if (labels[i] != IGNORE) {
                    positions[count] = i;
                    ids[count++] = labels[i];
                }
            }
            var device = Tensors.deviceOf(hidden);
            return new Targets(
                    Tensors.ofLongs(device, java.util.Arrays.copyOf(positions, count), count),
                    Tensors.ofLongs(device, java.util.Arrays.copyOf(ids, count), count),
                    count);
        }
    }
}
