package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.BiConsumer;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The vocabulary projection (output head) over the target positions of a batch, {@value #ROWS_PER_CHUNK} at a time: the logits of
 * one chunk are in memory, never all (B, T, V), and positions without a label cost nothing.
 *
 * @param projection (n, D) to logits (n, V)
 */
public record ChunkedHead(UnaryOperator<Tensor> projection) {
    /** How many positions are projected at a time. */
    public static final int ROWS_PER_CHUNK = 1024;

    /**
     * The targets of one chunk.
     *
     * @param start index of the first of them among all targets
     * @param positions int64, (n)
     * @param ids int64, (n)
     * @param weights what each counts in the loss, float32, (n); null where all count 1
     */
    public record Chunk(
            int start,
            Tensor positions,
            Tensor ids,
            @Nullable Tensor weights) {
        private static Chunk of(Targets targets, int start) {
            int count = Math.min(ROWS_PER_CHUNK, targets.count() - start);
            Tensor weights = targets.weights();
            return new Chunk(
                    start,
                    targets.positions().narrow(0, start, count),
                    targets.ids().narrow(0, start, count),
                    weights == null ? null : weights.narrow(0, start, count));
        }
    }

    /** The loss of a chunk. */
    @FunctionalInterface
    interface ChunkLoss {
        /**
         * Goes back from the loss to all that the logits depend on.
         *
         * @param logits (n, V) with their graph
         * @return the loss of the chunk, float64
         */
        Tensor backward(Tensor logits, Chunk chunk);
    }

    /**
     * Projects chunk after chunk.
     *
     * @param hidden (B, T, D), the decoder's output
     * @param work is given the logits (n, V) of each chunk; they are freed when it returns
     * @throws IllegalArgumentException if the targets are those of another shape
     */
    public void forward(Tensor hidden, Targets targets, BiConsumer<Tensor, Chunk> work) {
        targets.requireFit(hidden);
        forEachChunk(hidden.view(-1, hidden.size(2)), targets, (x, chunk) -> work.accept(projection.apply(x), chunk));
    }

    /**
     * Projects chunk after chunk and goes back with each at once, as far as the hidden states; from their collected gradient
     * a single backward pass then runs through the model.
     *
     * @param hidden (B, T, D), the decoder's output, with its graph
     * @return the sum of the chunks' losses, float64, shape (1); the caller's scope owns it
     * @throws IllegalArgumentException if the targets are those of another shape
     */
    Tensor backward(Tensor hidden, Targets targets, ChunkLoss loss) {
        targets.requireFit(hidden);
        try (TensorScope scope = new TensorScope()) {
            Tensor flat = hidden.detach().view(-1, hidden.size(2)); // (B · T, D)
            Tensor gradient = torch.zeros_like(flat);
            Tensor sum = Tensors.zeros(Tensors.deviceOf(hidden), ScalarType.Double, 1);
            forEachChunk(flat, targets, (x, chunk) -> {
                Tensor leaf = x.set_requires_grad(true); // (n, D)
                sum.add_(loss.backward(projection.apply(leaf), chunk));
                if (leaf.grad().defined()) {
                    gradient.index_add_(0, chunk.positions(), leaf.grad());
                }
            });
            if (hidden.requires_grad() && targets.count() > 0) {
                backwardFrom(hidden, gradient.view(hidden.shape()));
            }
            return scope.keep(sum);
        }
    }

    /**
     * Projects chunk after chunk and goes back with each at once, but no further than the hidden states of the targets: for losses that
     * weigh them when all are known.
     *
     * @param hidden (B, T, D), the decoder's output
     * @return the gradient of each target's loss by its hidden state, (n, D), for {@link #backward(Tensor, Targets, Tensor)}; the
     *     caller's scope owns it
     * @throws IllegalArgumentException if the targets are those of another shape
     */
    Tensor slopes(Tensor hidden, Targets targets, BiConsumer<Tensor, Chunk> loss) {
        targets.requireFit(hidden);
        try (TensorScope scope = new TensorScope()) {
            Tensor slopes = Tensors.zeros(
                    Tensors.deviceOf(hidden), Tensors.typeOf(hidden), targets.count(), hidden.size(2)); // (n, D)
            forEachChunk(hidden.detach().view(-1, hidden.size(2)), targets, (x, chunk) -> {
                Tensor leaf = x.set_requires_grad(true);
                loss.accept(projection.apply(leaf), chunk);
                if (leaf.grad().defined()) {
                    slopes.narrow(0, chunk.start(), leaf.size(0)).copy_(leaf.grad());
                }
            });
            return scope.keep(slopes);
        }
    }

    /**
     * Goes back through the model from gradients of the targets' hidden states.
     *
     * @param hidden (B, T, D), the decoder's output, with its graph
     * @param gradients (n, D)
     */
    static void backward(Tensor hidden, Targets targets, Tensor gradients) {
        if (hidden.requires_grad() && targets.count() > 0) {
            try (TensorScope scope = new TensorScope()) {
                Tensor all = torch.zeros_like(hidden.detach().view(-1, hidden.size(2))); // (B · T, D)
                backwardFrom(
                        hidden,
                        all.index_add_(0, targets.positions(), gradients).view(hidden.shape()));
            }
        }
    }

    /** The hidden states (n, D) of each chunk. */
    private static void forEachChunk(Tensor flat, Targets targets, BiConsumer<Tensor, Chunk> work) {
        for (int start = 0; start < targets.count(); start += ROWS_PER_CHUNK) {
            try (TensorScope scope = new TensorScope()) {
                Chunk chunk = Chunk.of(targets, start);
                work.accept(flat.index_select(0, chunk.positions()), chunk);
            }
        }
    }

    /** The backward pass from a tensor whose gradient is known. */
    static void backwardFrom(Tensor root, Tensor gradient) {
        root.backward(gradient, new BoolOptional(), false, new TensorArrayRefOptional());
    }
}
