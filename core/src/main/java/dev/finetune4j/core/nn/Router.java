package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.RouterSpec;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the experts of each token: the likeliest few by a softmax over all
 * (<a href="https://arxiv.org/abs/1701.06538">Shazeer et al. 2017</a>). No adapter sits on it, and quantization leaves it dense.
 */
public final class Router implements AutoCloseable {
    private final Tensor weight;
    private final int active;
    private final boolean normalised;

    /**
     * @param weight shape (experts, D); owned from now on
     * @param active experts of a token, k
     * @param normalised whether the shares of a token's experts sum to one
     */
    public Router(Tensor weight, int active, boolean normalised) {
        this.weight = weight;
        this.active = active;
        this.normalised = normalised;
    }

    /**
     * The experts of some tokens.
     *
     * @param shares of each in the result, in the type of the tokens, with their graph, shape (n, k)
     * @param experts int64, shape (n, k)
     */
    record Choice(Tensor shares, Tensor experts) {
        /** How many experts a token has. */
        long active() {
            return experts.size(1);
        }
    }

    /**
     * The experts of x, shape (n, D).
     *
     * @param balance gives the probabilities a gradient of its own; null for none
     * @param counting whether it counts this choice
     */
    Choice choose(Tensor x, @Nullable RouterBalance balance, boolean counting) {
        Tensor logits = torch.linear(x, Tensors.as(weight, Tensors.typeOf(x)));
        Tensor probabilities = Tensors.as(logits, ScalarType.Float).softmax(-1); // (n, experts)
        if (balance != null) {
            probabilities = balance.balanced(probabilities);
        }
        T_TensorTensor_T best = torch.topk(probabilities, active);
        if (balance != null && counting) {
            balance.count(probabilities, best.get1());
        }
        Tensor shares = best.get0();
        if (normalised) {
            shares = shares.div(shares.sum(new long[] {-1}, true, new ScalarTypeOptional()));
        }
        return new Choice(Tensors.as(shares, Tensors.typeOf(x)), best.get1());
    }

    /** Shape (experts, D). */
    public Tensor weight() {
        return weight;
    }

    /** How kernels take it. */
    public RouterSpec spec() {
        return new RouterSpec(weight, active, normalised);
    }

    @Override
    public void close() {
        weight.close();
    }
}
