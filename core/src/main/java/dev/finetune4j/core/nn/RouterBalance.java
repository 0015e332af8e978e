package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The load-balancing loss of the routers of all layers in one pass, {@code experts · Σ share of the tokens · mean probability}
 * (<a href="https://arxiv.org/abs/2101.03961">Fedus et al. 2021</a>, equations 4 to 6, over all layers together as transformers
 * computes it). The forward pass counts; the gradients of the probabilities, which need the counts of all layers, are added as the
 * backward pass comes through the routers. For one pass; the caller's scope owns the tensors.
 */
public final class RouterBalance {
    private final Tensor factor;
    private final @Nullable Tensor counted;
    private final Tensor chosen;
    private final Tensor probabilities;
    private final Tensor rows;

    /**
     * @param experts of a layer
     * @param factor on loss and gradient, float32, shape (1)
     * @param counted float32, shape (tokens): 1 for those that count and 0 for padding; null where all count
     */
    public RouterBalance(int experts, Tensor factor, @Nullable Tensor counted) {
        this.factor = factor;
        this.counted = counted;
        this.chosen = Tensors.zeros(Tensors.deviceOf(factor), ScalarType.Float, experts);
        this.probabilities = Tensors.zeros(Tensors.deviceOf(factor), ScalarType.Float, experts);
        this.rows = Tensors.zeros(Tensors.deviceOf(factor), ScalarType.Float, 1);
    }

    private static Tensor sum(Tensor rows) {
        return rows.sum(new long[] {0}, false, new ScalarTypeOptional());
    }

    /** The weights of some tokens, (n, 1); null where all count. A part of the tokens counts whole. */
    private @Nullable Tensor weights(long tokens) {
        return counted == null || counted.numel() != tokens ? null : counted.view(-1, 1);
    }

    /**
     * Counts what a router has chosen.
     *
     * @param all probabilities, float32, shape (n, experts)
     * @param experts int64, shape (n, k)
     */
    void count(Tensor all, Tensor experts) {
        Tensor given = all.detach();
        Tensor places = torch.zeros_like(given).scatter_(1, experts, new Scalar(1));
        Tensor weights = weights(given.size(0));
        chosen.add_(sum(weights == null ? places : places.mul(weights)));
        probabilities.add_(sum(weights == null ? given : given.mul(weights)));
        if (weights == null) {
            rows.add_(new Scalar(given.size(0)));
        } else {
            rows.add_(weights.sum());
        }
    }

    /** The same probabilities, whose gradient gets that of the loss. */
    Tensor balanced(Tensor all) {
        return CustomFunction.apply(all, Tensor::detach, gradient -> {
            Tensor slope = chosen.mul(factor).mul_(new Scalar(chosen.numel())).div_(rows.mul(rows)); // (experts)
            Tensor weights = weights(gradient.size(0));
            return gradient.add(weights == null ? slope : weights.mul(slope));
        });
    }

    /** The loss times the factor, float64, shape (1), behind the forward pass. */
    public Tensor loss() {
        Tensor products = chosen.mul(probabilities).sum().view(1).div(rows.mul(rows));
        return products.mul(factor).mul_(new Scalar(chosen.numel())).to(ScalarType.Double);
    }
}
