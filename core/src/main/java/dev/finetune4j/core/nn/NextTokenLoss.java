package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.CrossEntropyKernel;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Cross entropy of the next token, summed over the positions that have a label, with the vocabulary projection done for a
 * chunk of positions at a time: one chunk of logits is in memory, never all of them, and positions without a label cost
 * nothing.
 *
 * <p>Each chunk goes forward <em>and</em> backward at once, as far as the hidden states; from their collected gradient a
 * single backward pass then runs through the model. Where there are kernels for it, the gradients of the logits take the logits' place.
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
        ComputeDevice device = Tensors.deviceOf(hidden);
        try (TensorScope scope = new TensorScope();
                Targets targets = Targets.of(device, labels, 1)) {
            Tensor factor = Tensors.ofFloats(device, new float[] {(float) scale}, 1);
            return backward(hidden, head, targets, factor).item_double();
        }
    }

    /**
     * The same without waiting for the device: everything that it needs is there already, and the loss stays there.
     *
     * @param scale factor on the loss, one float32
     * @return the loss summed over the labelled positions, not scaled, float64, shape (1)
     */
    public static Tensor backward(Tensor hidden, UnaryOperator<Tensor> head, Targets targets, Tensor scale) {
        try (TensorScope scope = new TensorScope()) {
            targets.requireFit(hidden);
            Tensor flat = hidden.detach().view(-1, hidden.size(2)); // (B · T, D)
            Tensor gradient = torch.zeros_like(flat);
            Tensor sum = Tensors.zeros(Tensors.deviceOf(hidden), ScalarType.Double, 1);
            for (int start = 0; start < targets.count(); start += ROWS_PER_CHUNK) {
                try (TensorScope chunk = new TensorScope()) {
                    Tensor positions = targets.positions(start);
                    Tensor chosen = flat.index_select(0, positions).set_requires_grad(true); // (n, D)
                    sum.add_(chunkBackward(head.apply(chosen), targets.ids(start), scale));
                    if (chosen.grad().defined()) {
                        gradient.index_add_(0, positions, chosen.grad());
                    }
                }
            }
            if (hidden.requires_grad() && targets.count() > 0) {
                backwardFrom(hidden, gradient.view(hidden.shape()));
            }
            return scope.keep(sum);
        }
    }

    private static Tensor chunkBackward(Tensor logits, Tensor ids, Tensor scale) {
        if (CrossEntropyKernel.supports(logits)) {
            Tensor values = logits.detach();
            Tensor losses = CrossEntropyKernel.toGradients(values, ids, scale);
            backwardFrom(logits, values);
            return losses.sum(new ScalarTypeOptional(ScalarType.Double));
        }
        Tensor loss = loss(logits, ids);
        loss.mul(scale).backward();
        return loss.detach().to(ScalarType.Double);
    }

    private static Tensor loss(Tensor logits, Tensor ids) {
        return torch.cross_entropy_loss(
                Tensors.as(logits, ScalarType.Float), ids, new TensorOptional(), SUM, IGNORE, 0.0);
    }

    /** The loss summed over the labelled positions, without gradients. */
    public static double sum(Tensor hidden, UnaryOperator<Tensor> head, long[] labels) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                Targets targets = Targets.of(Tensors.deviceOf(hidden), labels, 1)) {
            targets.requireFit(hidden);
            Tensor flat = hidden.view(-1, hidden.size(2));
            double sum = 0;
            for (int start = 0; start < targets.count(); start += ROWS_PER_CHUNK) {
                try (TensorScope chunk = new TensorScope()) {
                    Tensor chosen = flat.index_select(0, targets.positions(start));
                    sum += loss(head.apply(chosen), targets.ids(start)).item_double();
                }
            }
            return sum;
        }
    }

    private static void backwardFrom(Tensor root, Tensor gradient) {
        root.backward(gradient, new BoolOptional(), false, new TensorArrayRefOptional());
    }

    /** The labelled positions of a flattened batch and the ids wanted there. */
    public static final class Targets implements AutoCloseable {
        private final long labels;
        private final Tensor positions;
        private final Tensor ids;
        private final int count;

        private Targets(long labels, Tensor positions, Tensor ids, int count) {
            this.labels = labels;
            this.positions = positions;
            this.ids = ids;
            this.count = count;
        }

        /**
         * The targets of a batch.
         *
         * @param device where the model is
         * @param labels the id that each position must predict, row-major (B, T); {@link NextTokenLoss#IGNORE} for none
         * @param multiple the number of positions is filled up to a multiple of this by some that are not learned, so that
         *     batches come in few sizes
         */
        public static Targets of(ComputeDevice device, long[] labels, int multiple) {
            int wanted =
                    (int) Arrays.stream(labels).filter(label -> label != IGNORE).count();
            int count = (wanted + multiple - 1) / multiple * multiple;
            long[] positions = new long[count];
            long[] ids = new long[count];
            Arrays.fill(ids, IGNORE);
            int found = 0;
            for (int i = 0; i < labels.length; i++) {
                if (labels[i] != IGNORE) {
                    positions[found] = i;
                    ids[found++] = labels[i];
                }
            }
            try (TensorScope scope = new TensorScope()) {
                Tensor where = Tensors.ofLongs(device, positions, count);
                Tensor what = Tensors.ofLongs(device, ids, count);
                return new Targets(labels.length, scope.release(where), scope.release(what), count);
            }
        }

        /** The same in memory of its own. */
        public Targets copy() {
            try (TensorScope scope = new TensorScope()) {
                Tensor where = positions.clone();
                Tensor what = ids.clone();
                return new Targets(labels, scope.release(where), scope.release(what), count);
            }
        }

        /** Frees the tensors. Closing twice is fine. */
        @Override
        public void close() {
            positions.close();
            ids.close();
        }

        /** How many positions there are, those not learned included. */
        public int count() {
            return count;
        }

        /** Takes over the positions and ids of a batch with as many of both. */
        public void copyFrom(Targets other) {
            if (other.count != count || other.labels != labels) {
                throw new IllegalArgumentException("targets of " + other.count + " of " + other.labels
                        + " positions do not fit into those of " + count + " of " + labels);
            }
            positions.copy_(other.positions);
            ids.copy_(other.ids);
        }

        private Tensor positions(int start) {
            return positions.narrow(0, start, Math.min(ROWS_PER_CHUNK, count - start));
        }

        private Tensor ids(int start) {
            return ids.narrow(0, start, Math.min(ROWS_PER_CHUNK, count - start));
        }

        private void requireFit(Tensor hidden) {
            if (labels != hidden.size(0) * hidden.size(1)) {
                throw new IllegalArgumentException("there are " + labels + " labels for " + hidden.size(0) + " x "
                        + hidden.size(1) + " positions");
            }
        }
    }
}
