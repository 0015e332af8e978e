package dev.finetune4j.core.autograd;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.AutoGradMode;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.global.torch;

/**
 * A function that keeps nothing but its input for the backward pass and is computed again there
 * (<a href="https://arxiv.org/abs/1604.06174">Chen et al. 2016</a>).
 */
public final class Checkpoint {
    private Checkpoint() {}

    /**
     * Applies a function. While gradients are recorded, its backward pass runs it once more and passes the gradient through
     * that; what it captures must live until then.
     *
     * @param random whether the function draws random numbers, which are then the same the second time
     * @param function from one tensor to one; what else it depends on gets its gradients too
     */
    public static Tensor apply(Tensor input, boolean random, UnaryOperator<Tensor> function) {
        return apply(input, random, function, function);
    }

    /**
     * The same with a function that stands for the first in the backward pass.
     *
     * @param forGradient has the gradients of the function, but need not compute the values of its result
     */
    public static Tensor apply(
            Tensor input, boolean random, UnaryOperator<Tensor> function, UnaryOperator<Tensor> forGradient) {
        if (!GradMode.is_enabled()) {
            return function.apply(input);
        }
        boolean wanted = input.requires_grad();
        Tensor root = wanted ? input : input.detach().set_requires_grad(true);
        return CustomFunction.apply(
                root,
                (given, saved) -> {
                    saved.keep(given);
                    if (!random) {
                        return function.apply(given);
                    }
                    try (Generator source = generator(given)) {
                        saved.keep(source.get_state());
                        // As it will be in the backward pass: some draw only while gradients are recorded.
                        return again(given, wanted, function).detach();
                    }
                },
                (gradient, saved) -> {
                    if (random) {
                        return withState(
                                saved.get(1), gradient, () -> back(saved.get(0), gradient, wanted, forGradient));
                    }
                    return back(saved.get(0), gradient, wanted, forGradient);
                });
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

    private static Tensor again(Tensor input, boolean wanted, UnaryOperator<Tensor> function) {
        try (TensorScope step = TensorScope.forStep();
                AutoGradMode on = new AutoGradMode(true)) {
            return step.keep(
                    function.apply(input.detach().set_requires_grad(wanted)).detach());
        }
    }

    /** Runs with the random numbers of the first time and lets the later ones go on where they were. */
    private static Tensor withState(Tensor state, Tensor on, Supplier<Tensor> work) {
        try (Generator source = generator(on)) {
            Tensor later = source.get_state();
            source.set_state(state);
            Tensor result = work.get();
            source.set_state(later);
            return result;
        }
    }

    private static Generator generator(Tensor on) {
        return torch.globalContext().defaultGenerator(on.device());
    }
}
