package dev.finetune4j.core.autograd;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiFunction;
import org.bytedeco.pytorch.FunctionPreHook;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Node;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * A differentiable function of one tensor whose backward pass is written in Java.
 *
 * <p>The binding does not map {@code torch::autograd::Function}, but an alias node can carry the edge: the alias of the
 * input brings a node that would hand its gradient to the input unchanged; the node forgets the input's shape and takes the
 * output as its result; a hook before it turns the output's gradient into the input's.
 *
 * <p>Ownership: the hook must stay reachable until backward has run, so it moves to the scope of the step
 * ({@link TensorScope#ofStep}); scopes inside that one may close. Run backward before the scope of the step closes. What the
 * backward closure captures must live as long. The closure runs without gradient recording and in a scope of its own.
 */
public final class CustomFunction {
    /** The backward pass: from the gradient of the output to the gradient of the input. */
    @FunctionalInterface
    public interface Backward {
        /**
         * Turns one gradient into the other.
         *
         * @param gradient gradient of the loss by the output, in the output's shape
         * @return gradient of the loss by the input, in the input's shape
         */
        Tensor apply(Tensor gradient);
    }

    /** Tensors that a forward pass leaves for its backward pass, which frees them when it has run. */
    public static final class Saved {
        private final boolean recorded;
        private final List<Tensor> tensors = new ArrayList<>();

        private Saved(boolean recorded) {
            this.recorded = recorded;
        }

        /** Keeps a tensor; without a backward pass to come, nothing is kept. */
        public void keep(Tensor tensor) {
            if (recorded) {
                tensors.add(tensor.detach());
            }
        }

        /** The tensor that was kept as the i-th. */
        public Tensor get(int i) {
            return tensors.get(i);
        }

        /** How many were kept. */
        public int size() {
            return tensors.size();
        }

        private void close() {
            tensors.forEach(Tensor::close);
        }
    }

    private CustomFunction() {}

    /**
     * As {@link #apply(Tensor, java.util.function.UnaryOperator, Backward)}, for a function whose backward pass needs tensors
     * of the forward pass.
     *
     * @param forward computes the output from the input and keeps what is needed
     * @param backward computes the input's gradient from the output's and what was kept
     */
    public static Tensor apply(
            Tensor input, BiFunction<Tensor, Saved, Tensor> forward, BiFunction<Tensor, Saved, Tensor> backward) {
        Saved saved = new Saved(GradMode.is_enabled() && input.requires_grad());
        TensorScope owner = TensorScope.ofStep();
        return apply(
                input,
                x -> {
                    try (TensorScope scope = new TensorScope()) {
                        Tensor output = forward.apply(x, saved);
                        for (Tensor kept : saved.tensors) {
                            scope.release(kept);
                            if (owner != null) {
                                owner.adopt(kept);
                            }
                        }
                        return scope.keep(output);
                    }
                },
                gradient -> {
                    Tensor result = backward.apply(gradient, saved);
                    saved.close();
                    return result;
                });
    }

    /**
     * Runs {@code forward} without recording and makes its result a function of {@code input}.
     *
     * @param input the tensor to differentiate by; when it needs no gradient, or recording is off, nothing is attached
     * @param forward computes the output from the input
     * @param backward computes the input's gradient
     * @throws IllegalStateException if a gradient is to be recorded and no {@link TensorScope} is open
     */
    public static Tensor apply(Tensor input, java.util.function.UnaryOperator<Tensor> forward, Backward backward) {
        boolean recorded = GradMode.is_enabled() && input.requires_grad();
        if (!recorded) {
            return forward.apply(input);
        }
        TensorScope owner = TensorScope.ofStep();
        if (owner == null) {
            throw new IllegalStateException(
                    "a function with a backward pass in Java needs an open TensorScope around forward and backward");
        }
        Tensor output;
        try (NoGradGuard off = new NoGradGuard()) {
            output = forward.apply(input);
        }
        try (TensorScope scope = new TensorScope()) {
            Node node = input.alias().grad_fn();
            node.clear_input_metadata();
            torch.create_gradient_edge(output, node);
            Hook hook = scope.release(new Hook(owner, backward));
            owner.adopt(hook);
            node.add_pre_hook(hook);
        }
        return output;
    }

    private static final class Hook extends FunctionPreHook {
        private final transient TensorScope owner;
        private final transient Backward backward;

        Hook(TensorScope owner, Backward backward) {
            this.owner = owner;
            this.backward = backward;
        }

        @Override
        public TensorVector apply(TensorVector gradients) {
            try (TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                TensorVector result = new TensorVector(backward.apply(gradients.get(0)));
                return owner.handOver(scope.release(result));
            }
        }
    }
}
