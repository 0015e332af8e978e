package dev.finetune4j.lora.objective;

import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Log-probability of whole answers: for each row, the sum over its target tokens of the log of their softmax
 * probability. As in {@link NextTokenLoss}, the vocabulary projection is done for a chunk of positions at a time, and
 * positions without a label cost nothing.
 *
 * <p>{@link #of} computes them without gradients. Once a loss has said what its gradient for each is, {@link #backward} projects
 * again, chunk by chunk, so that the logits of more than one chunk are never in memory.
 */
public final class SequenceLogProbability {
    private static final int NONE = 0;
    private static final int ROWS_PER_CHUNK = 1024;

    private SequenceLogProbability() {}

    /**
     * The log-probability of each row's answer, without gradients.
     *
     * @param hidden shape (B, T, D), the decoder's output
     * @param head the projection to the vocabulary, (n, D) to (n, V)
     * @param labels the id that each position must predict, row-major (B, T); {@link NextTokenLoss#IGNORE} where there is
     *     none
     * @return (B), float32; 0 for a row without labels
     */
    public static Tensor of(Tensor hidden, UnaryOperator<Tensor> head, long[] labels) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Targets targets = Targets.of(labels, hidden);
            Tensor sums = Tensors.zeros(Tensors.deviceOf(hidden), ScalarType.Float, hidden.size(0));
            for (int start = 0; start < targets.count(); start += ROWS_PER_CHUNK) {
                try (TensorScope chunk = new TensorScope()) {
                    sums.index_add_(0, targets.rows(start), logProbs(hidden, head, targets, start));
                }
            }
            return scope.keep(sums);
        }
    }

    /**
     * Adds the gradient of the weighted sum of the rows' log-probabilities to everything that can be trained.
     *
     * @param hidden shape (B, T, D), the decoder's output, with its graph
     * @param head the projection to the vocabulary, (n, D) to (n, V)
     * @param labels as for {@link #of}
     * @param weights (B), float32: usually the gradient of a loss with respect to the log-probabilities
     */
    public static void backward(Tensor hidden, UnaryOperator<Tensor> head, long[] labels, Tensor weights) {
        try (TensorScope scope = new TensorScope()) {
            Targets targets = Targets.of(labels, hidden);
            Tensor leaf = hidden.detach().set_requires_grad(true);
            for (int start = 0; start < targets.count(); start += ROWS_PER_CHUNK) {
                try (TensorScope chunk = new TensorScope()) {
                    Tensor weight = weights.detach().index_select(0, targets.rows(start));
                    backwardFrom(logProbs(leaf, head, targets, start), weight);
                }
            }
            if (hidden.requires_grad() && targets.count() > 0) {
                backwardFrom(hidden, leaf.grad());
            }
        }
    }

    /** Log-probability of each target of a chunk, (n). */
    private static Tensor logProbs(Tensor hidden, UnaryOperator<Tensor> head, Targets targets, int start) {
        Tensor chosen = hidden.view(-1, hidden.size(2)).index_select(0, targets.positions(start)); // (n, D)
        Tensor logits = Tensors.as(head.apply(chosen), ScalarType.Float); // (n, V)
        return torch.cross_entropy_loss(
                        logits, targets.ids(start), new TensorOptional(), NONE, NextTokenLoss.IGNORE, 0.0)
                .neg();
    }

    private static void backwardFrom(Tensor root, Tensor gradient) {
        root.backward(gradient, new BoolOptional(), false, new TensorArrayRefOptional());
    }

    /** The labelled positions of the flattened batch, the rows that they belong to, and the ids wanted there. */
    private record Targets(Tensor positions, Tensor rows, Tensor ids, int count) {
        static Targets of(long[] labels, Tensor hidden) {
            long length = hidden.size(1);
            if (labels.length != hidden.size(0) * length) {
                throw new IllegalArgumentException(
                        "there are " + labels.length + " labels for " + hidden.size(0) + " x " + length + " positions");
            }
            long[] positions = new long[labels.length];
            long[] rows = new long[labels.length];
            long[] ids = new long[labels.length];
            int count = 0;
            for (int i = 0; i < labels.length; i++) {
                if (labels[i] != NextTokenLoss.IGNORE) {
                    positions[count] = i;
                    rows[count] = i / length;
                    ids[count++] = labels[i];
                }
            }
            ComputeDevice device = Tensors.deviceOf(hidden);
            return new Targets(
                    Tensors.ofLongs(device, Arrays.copyOf(positions, count), count),
                    Tensors.ofLongs(device, Arrays.copyOf(rows, count), count),
                    Tensors.ofLongs(device, Arrays.copyOf(ids, count), count),
                    count);
        }

        Tensor positions(int start) {
            return chunk(positions, start);
        }

        Tensor rows(int start) {
            return chunk(rows, start);
        }

        Tensor ids(int start) {
            return chunk(ids, start);
        }

        private Tensor chunk(Tensor values, int start) {
            return values.narrow(0, start, Math.min(ROWS_PER_CHUNK, count - start));
        }
    }
}
