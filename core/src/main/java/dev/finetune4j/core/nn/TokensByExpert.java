package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.StringViewOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Tokens in the order of their experts, each as often as it has some. Nothing here waits for the device but {@link #counts}.
 *
 * @param order which of the choices, counted over all tokens, each row is, int64, shape (n · k)
 * @param ends how many rows belong to each expert and those before it, int32, shape (experts)
 * @param sources the token of each row, int64, shape (n · k)
 * @param places the row of each expert of each token, int64, shape (n · k)
 * @param active experts of a token, k
 */
record TokensByExpert(Tensor order, Tensor ends, Tensor sources, Tensor places, long active) {
    static TokensByExpert of(Router.Choice choice, int experts) {
        Tensor chosen = choice.experts().reshape(-1); // (n · k)
        Tensor order = torch.argsort(chosen, true, 0, false);
        Tensor sorted = chosen.index_select(0, order);
        Tensor all = range(chosen, experts);
        Tensor ends = torch.searchsorted(sorted, all, true, true, new StringViewOptional(), new TensorOptional());
        Tensor sources = order.floor_divide(new Scalar(choice.active()));
        Tensor places = torch.empty_like(order).scatter_(0, order, range(chosen, order.size(0)));
        return new TokensByExpert(order, ends, sources, places, choice.active());
    }

    private static Tensor range(Tensor like, long count) {
        return torch.arange(new Scalar(count), like.options());
    }

    /** How many rows each expert has. */
    long[] counts() {
        long[] counts = Tensors.toLongs(Tensors.as(ends, ScalarType.Long));
        for (int i = counts.length - 1; i > 0; i--) {
            counts[i] -= counts[i - 1];
        }
        return counts;
    }

    /** Tokens (n, D) as rows in the order of their experts, (n · k, D). */
    Tensor gather(Tensor tokens) {
        return CustomFunction.apply(
                tokens,
                (given, saved) -> {
                    saved.keep(places);
                    return given.index_select(0, sources);
                },
                // A sum of its own in place of libtorch's, whose order differs from run to run on a GPU.
                (gradient, saved) ->
                        byToken(gradient, saved.get(0)).sum(new long[] {1}, false, new ScalarTypeOptional()));
    }

    private Tensor byToken(Tensor rows, Tensor from) {
        return rows.index_select(0, from).view(-1, active, rows.size(1)); // (n, k, D)
    }

    /**
     * The rows of each token, weighed.
     *
     * @param rows shape (n · k, D)
     * @param shares shape (n, k)
     * @return shape (n, D)
     */
    Tensor combine(Tensor rows, Tensor shares) {
        Tensor made = CustomFunction.apply(
                rows,
                (given, saved) -> {
                    saved.keep(order);
                    return byToken(given, places);
                },
                (gradient, saved) -> gradient.reshape(-1, gradient.size(2)).index_select(0, saved.get(0)));
        return torch.bmm(shares.unsqueeze(1), made).squeeze(1);
    }
}
