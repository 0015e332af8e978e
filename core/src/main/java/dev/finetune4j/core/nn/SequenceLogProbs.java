package dev.finetune4j.core.nn;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Log-probabilities of whole sequences: for each, the sum over its target tokens of the log of their softmax probability.
 *
 * <p>The gradient of a loss by a sequence is one factor on those of all of its tokens. So {@link #recorded} makes these, chunk by
 * chunk, together with the log-probabilities, and {@link #backward} multiplies them when the loss has said what its factors are: the
 * projection to the vocabulary is computed once, and the logits of more than one chunk are never in memory. A projection that is
 * trained itself is computed again.
 */
public final class SequenceLogProbs {
    /** libtorch's number of no reduction. */
    private static final int NONE = 0;

    private final Tensor hidden;
    private final Head head;
    private final Targets targets;
    private final Tensor sums;
    private final @Nullable Tensor slopes;

    private SequenceLogProbs(Tensor hidden, Head head, Targets targets, Tensor sums, @Nullable Tensor slopes) {
        this.hidden = hidden;
        this.head = head;
        this.targets = targets;
        this.sums = sums;
        this.slopes = slopes;
    }

    /**
     * The projection to the vocabulary.
     *
     * @param logits (n, D) to (n, V), without a bound
     * @param softCap bound that a hyperbolic tangent puts on them; 0 for none
     */
    public record Head(UnaryOperator<Tensor> logits, double softCap) {
        private Tensor bounded(Tensor given) {
            Scalar cap = new Scalar(softCap);
            return softCap == 0 ? given : given.div(cap).tanh().mul(cap);
        }

        /** Whether nothing of it is trained. */
        private boolean isFrozen(Tensor hidden) {
            try (TensorScope scope = new TensorScope()) {
                Tensor one = hidden.detach().view(-1, hidden.size(2)).narrow(0, 0, 1);
                return !logits.apply(one).requires_grad();
            }
        }
    }

    /**
     * The log-probability of each sequence, without gradients.
     *
     * @param hidden shape (B, T, D), the decoder's output
     * @param targets of a batch that knows its N sequences
     * @return (N), float32; 0 for a sequence without targets
     */
    public static Tensor of(Tensor hidden, Head head, Targets targets) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor sums = zeros(hidden, targets);
            new ChunkedHead(head.logits())
                    .forward(
                            hidden,
                            targets,
                            (logits, chunk) -> subtract(
                                    sums,
                                    DeviceKernels.of(logits).loss().crossEntropy(logits, chunk.ids(), head.softCap()),
                                    targets,
                                    chunk));
            return scope.keep(sums);
        }
    }

    /**
     * The same for a backward pass that follows; the caller's scope owns what is kept for it.
     *
     * @param hidden shape (B, T, D), the decoder's output, with its graph
     * @param targets of a batch that knows its N sequences
     */
    public static SequenceLogProbs recorded(Tensor hidden, Head head, Targets targets) {
        if (!head.isFrozen(hidden)) {
            return new SequenceLogProbs(
                    hidden, head, targets, of(hidden, head, targets).set_requires_grad(true), null);
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor sums = zeros(hidden, targets);
            Tensor one = Tensors.ones(Tensors.deviceOf(hidden), ScalarType.Float, 1);
            Tensor slopes = new ChunkedHead(head.logits()).slopes(hidden, targets, (logits, chunk) -> {
                Tensor losses = DeviceKernels.of(logits)
                        .loss()
                        .crossEntropyAndBackward(logits, chunk.ids(), one, head.softCap());
                subtract(sums, losses, targets, chunk);
            });
            return new SequenceLogProbs(
                    hidden, head, targets, scope.keep(sums.set_requires_grad(true)), scope.keep(slopes));
        }
    }

    /** The log-probability of each sequence, (N), float32: a leaf for a loss, whose gradient {@link #backward} takes. */
    public Tensor sums() {
        return sums;
    }

    /** Adds the gradient of the loss that has gone back to {@link #sums} to everything that can be trained; once. */
    public void backward() {
        try (TensorScope scope = new TensorScope()) {
            Tensor factors = sums.grad().detach().neg(); // (N), on cross entropies
            if (slopes == null) {
                projectAgain(factors);
                return;
            }
            try (NoGradGuard off = new NoGradGuard()) {
                slopes.mul_(factors.index_select(0, targets.sequences()).unsqueeze(1));
            }
            ChunkedHead.backward(hidden, targets, slopes);
        }
    }

    private void projectAgain(Tensor factors) {
        new ChunkedHead(head.logits()).backward(hidden, targets, (logits, chunk) -> {
            Tensor losses = torch.cross_entropy_loss(
                    Tensors.as(head.bounded(logits), ScalarType.Float),
                    chunk.ids(),
                    new TensorOptional(),
                    NONE,
                    Labels.IGNORE,
                    0.0);
            Tensor weights = factors.index_select(0, sequences(targets, chunk));
            ChunkedHead.backwardFrom(losses, weights);
            return losses.detach().mul(weights).sum(new ScalarTypeOptional(ScalarType.Double));
        });
    }

    private static Tensor zeros(Tensor hidden, Targets targets) {
        return Tensors.zeros(Tensors.deviceOf(hidden), ScalarType.Float, targets.sequenceCount());
    }

    /** Log-probabilities are cross entropies with the other sign. */
    private static void subtract(Tensor sums, Tensor losses, Targets targets, ChunkedHead.Chunk chunk) {
        sums.index_add_(0, sequences(targets, chunk), losses.neg());
    }

    private static Tensor sequences(Targets targets, ChunkedHead.Chunk chunk) {
        return targets.sequences().narrow(0, chunk.start(), chunk.ids().size(0));
    }
}
