package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.AutoGradMode;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.jspecify.annotations.Nullable;

/**
 * A function of single tokens, computed for some tokens after others, so that what it has in memory meanwhile does not grow with
 * the length of the context
 * (<a href="https://arxiv.org/abs/2506.13996">tiled MLP, Bekman et al. 2025</a>). Each slice drops elements of its own where the
 * function has dropout.
 */
public final class TokenSlices {
    /** Tokens of a slice: so many that making 4-bit weights dense for each costs hardly anything. */
    public static final int TOKENS = 16_384;

    private TokenSlices() {}

    /** Whether a tensor of shape (B, T, D) has more tokens than a slice. */
    static boolean areSeveral(Tensor x) {
        return tokens(x) > TOKENS;
    }

    private static long tokens(Tensor x) {
        return x.numel() / x.size(-1);
    }

    /** Applies a function where no gradients are recorded. */
    static Tensor forward(Tensor x, UnaryOperator<Tensor> function) {
        Dropout.Draw draw = Dropout.current();
        Tensor y = Tensors.emptyLike(x);
        forEach(x, slice -> {
            Tensor result = Dropout.again(slice.of(draw), () -> function.apply(slice.of(x)));
            slice.of(y).copy_(result);
        });
        return y;
    }

    /**
     * Applies a function of which nothing is kept but its input: in the backward pass each slice is recomputed and runs
     * backward before the next one begins.
     *
     * @param forGradient has the gradients of the function, but need not compute the values of its result
     */
    static Tensor recomputed(Tensor x, UnaryOperator<Tensor> function, UnaryOperator<Tensor> forGradient) {
        return recomputedFrom(x, given -> forward(given, function), forGradient);
    }

    /**
     * The same for a pass in which only the gradients matter, so that nothing is computed before the backward pass.
     *
     * @return of the shape of x, but without the values of the function
     */
    static Tensor forGradient(Tensor x, UnaryOperator<Tensor> forGradient) {
        return recomputedFrom(x, Tensor::detach, forGradient);
    }

    private static Tensor recomputedFrom(Tensor x, UnaryOperator<Tensor> forward, UnaryOperator<Tensor> forGradient) {
        Dropout.Draw draw = Dropout.current();
        boolean wanted = x.requires_grad();
        // What the function depends on besides x gets its gradients also where x needs none.
        Tensor root = wanted ? x : x.detach().set_requires_grad(true);
        return CustomFunction.apply(
                root,
                (given, saved) -> {
                    saved.keep(given);
                    return forward.apply(given);
                },
                (gradient, saved) -> backward(saved.get(0), gradient.contiguous(), wanted, draw, forGradient));
    }

    private static Tensor backward(
            Tensor x, Tensor gradient, boolean wanted, Dropout.@Nullable Draw draw, UnaryOperator<Tensor> function) {
        Tensor all = wanted ? Tensors.emptyLike(x) : new Tensor();
        forEach(x, slice -> {
            try (TensorScope step = TensorScope.forStep();
                    AutoGradMode on = new AutoGradMode(true)) {
                Tensor leaf = slice.of(x).detach().set_requires_grad(wanted);
                Dropout.again(slice.of(draw), () -> function.apply(leaf))
                        .backward(slice.of(gradient), new BoolOptional(), false, new TensorArrayRefOptional());
                if (wanted) {
                    slice.of(all).copy_(leaf.grad().detach());
                }
            }
        });
        return all;
    }

    private interface Work {
        void run(Slice slice);
    }

    /**
     * Some tokens.
     *
     * @param index of the slice
     * @param start the first token, counted over all rows
     * @param count how many
     */
    private record Slice(int index, long start, long count) {
        /** Of a contiguous tensor (B, T, D), as (1, count, D). */
        Tensor of(Tensor x) {
            return x.view(1, tokens(x), x.size(-1)).narrow(1, start, count);
        }

        Dropout.@Nullable Draw of(Dropout.@Nullable Draw draw) {
            return draw == null ? null : draw.ofSlice(index);
        }
    }

    private static void forEach(Tensor x, Work work) {
        long tokens = tokens(x);
        int index = 0;
        for (long start = 0; start < tokens; start += TOKENS) {
            try (TensorScope scope = new TensorScope()) {
                work.run(new Slice(index++, start, Math.min(TOKENS, tokens - start)));
            }
        }
    }
}
