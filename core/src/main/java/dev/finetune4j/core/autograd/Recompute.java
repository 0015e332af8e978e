package dev.finetune4j.core.autograd;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.AutoGradMode;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;

/**
 * Activation checkpointing, PyTorch's {@code torch.utils.checkpoint}: a function keeps nothing but its input for the backward
 * pass and is recomputed there (<a href="https://arxiv.org/abs/1604.06174">Chen et al. 2016</a>).
 */
public final class Recompute {
    private Recompute() {}

    /**
     * Applies a function. While gradients are recorded, its backward pass runs it once more and passes the gradient through
     * that; what it captures must live until then.
     *
     * @param function from one tensor to one; what else it depends on gets its gradients too. It computes the same the second
     *     time: random numbers have to follow from what it captures, as those of {@code core.nn.Dropout} do, and not from a
     *     generator that others draw from
     */
    public static Tensor apply(Tensor input, UnaryOperator<Tensor> function) {
        return apply(input, function, function);
    }

    /**
     * The same with a function that stands for the first in the backward pass.
     *
     * @param forGradient has the gradients of the function, but need not compute the values of its result
     */
    public static Tensor apply(Tensor input, UnaryOperator<Tensor> function, UnaryOperator<Tensor> forGradient) {
        if (!GradMode.is_enabled()) {
            return function.apply(input);
        }
        boolean wanted = input.requires_grad();
        Tensor root = wanted ? input : input.detach().set_requires_grad(true);
        return CustomFunction.apply(
                root,
                (given, saved) -> {
                    saved.keep(given);
                    return function.apply(given);
                },
                (gradient, saved) -> back(saved.get(0), gradient, wanted, forGradient));
    }

    private static Tensor back(Tensor input, Tensor gradient, boolean wanted, UnaryOperator<Tensor> function) {
        try (TensorScope step = TensorScope.forStep();
                AutoGradMode on = new AutoGradMode(true)) {
            Tensor leaf = input.detach().set_requires_grad(wanted);
            function.apply(leaf).backward(gradient, new BoolOptional(), false, new TensorArrayRefOptional());
            // The binding's handle of a gradient points into the leaf, which ends here.
            return step.keep(wanted ? leaf.grad().detach() : new Tensor());
        }
    }
}
