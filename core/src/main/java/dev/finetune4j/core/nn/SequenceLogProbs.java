package dev.finetune4j.core.nn;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Log-probabilities of whole sequences: for each, the sum over its target tokens of the log of their softmax probability.
 *
 * <p>{@link #of} computes them without gradients. Once a loss has said what its gradient for each is, {@link #backward} projects
 * again, chunk by chunk, so that the logits of more than one chunk are never in memory.
 */
public final class SequenceLogProbs {
    private static final int NONE = 0;

    private SequenceLogProbs() {}

    /**
     * The log-probability of each sequence, without gradients.
     *
     * @param hidden shape (B, T, D), the decoder's output
     * @param head the projection to the vocabulary, (n, D) to (n, V)
     * @param targets of a batch that knows its N sequences
     * @return (N), float32; 0 for a sequence without targets
     */
    public static Tensor of(Tensor hidden, UnaryOperator<Tensor> head, Targets targets) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor sums = Tensors.zeros(Tensors.deviceOf(hidden), ScalarType.Float, targets.sequenceCount());
            new ChunkedHead(head)
                    .forward(
                            hidden,
                            targets,
                            (logits, chunk) -> sums.index_add_(0, sequences(targets, chunk), logProbs(logits, chunk)));
            return scope.keep(sums);
        }
    }

    /**
     * Adds the gradient of the weighted sum of the log-probabilities to everything that can be trained.
     *
     * @param hidden shape (B, T, D), the decoder's output, with its graph
     * @param head the projection to the vocabulary, (n, D) to (n, V)
     * @param targets of a batch that knows its N sequences
     * @param weights (N), float32: usually the gradient of a loss with respect to the log-probabilities
     */
    public static void backward(Tensor hidden, UnaryOperator<Tensor> head, Targets targets, Tensor weights) {
        try (TensorScope scope = new TensorScope()) {
            Tensor factors = weights.detach();
            new ChunkedHead(head).backward(hidden, targets, (logits, chunk) -> {
                Tensor logProbs = logProbs(logits, chunk); // (n)
                Tensor weight = factors.index_select(0, sequences(targets, chunk));
                ChunkedHead.backwardFrom(logProbs, weight);
                return logProbs.detach().mul(weight).sum(new ScalarTypeOptional(ScalarType.Double));
            });
        }
    }

    /** Log-probability of each target of a chunk, (n). */
    private static Tensor logProbs(Tensor logits, ChunkedHead.Chunk chunk) {
        return torch.cross_entropy_loss(
                        Tensors.as(logits, ScalarType.Float),
                        chunk.ids(),
                        new TensorOptional(),
                        NONE,
                        Labels.IGNORE,
                        0.0)
                .neg();
    }

    private static Tensor sequences(Targets targets, ChunkedHead.Chunk chunk) {
        return targets.sequences().narrow(0, chunk.start(), chunk.ids().size(0));
    }
}
