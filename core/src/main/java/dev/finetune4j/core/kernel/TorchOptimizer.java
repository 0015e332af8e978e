package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** By libtorch's operations. */
final class TorchOptimizer implements OptimizerKernels {
    static final TorchOptimizer INSTANCE = new TorchOptimizer();

    private TorchOptimizer() {}

    @Override
    public void adamw(AdamWState state, AdamWStep step, GradientClip clip) {
        clip.factor().ifPresent(factor -> adamw(state, step, factor));
    }

    private static void adamw(AdamWState state, AdamWStep step, double factor) {
        try (TensorScope scope = new TensorScope()) {
            Tensor gradient = state.gradients();
            begin(state.values(), step.decayFactor(), gradient, factor);
            state.mean().lerp_(gradient, new Scalar(1 - step.beta1()));
            state.variance().mul_(new Scalar(step.beta2())).addcmul_(gradient, gradient, new Scalar(1 - step.beta2()));
            Tensor root = state.variance()
                    .sqrt()
                    .div_(new Scalar(step.rootCorrection()))
                    .add_(new Scalar(step.epsilon()));
            state.values().addcdiv_(state.mean(), root, new Scalar(-step.correctedRate()));
            end(state.values(), gradient, state.computeCopies());
        }
    }

    @Override
    public void lion(LionState state, LionStep step, GradientClip clip) {
        clip.factor().ifPresent(factor -> lion(state, step, factor));
    }

    private static void lion(LionState state, LionStep step, double factor) {
        try (TensorScope scope = new TensorScope()) {
            Tensor gradient = state.gradients();
            begin(state.values(), step.decayFactor(), gradient, factor);
            Tensor direction =
                    state.mean().lerp(gradient, new Scalar(1 - step.beta1())).sign_();
            state.values().add_(direction, new Scalar(-step.learningRate()));
            state.mean().lerp_(gradient, new Scalar(1 - step.beta2()));
            end(state.values(), gradient, state.computeCopies());
        }
    }

    /** Clips the gradients and decays the values. */
    private static void begin(Tensor values, double decayFactor, Tensor gradients, double factor) {
        if (factor < 1) {
            gradients.mul_(new Scalar(factor));
        }
        if (decayFactor != 1) {
            values.mul_(new Scalar(decayFactor));
        }
    }

    private static void end(Tensor values, Tensor gradients, @Nullable Tensor computeCopies) {
        gradients.zero_();
        if (computeCopies != null) {
            computeCopies.copy_(values);
        }
    }

    @Override
    public void adamw8bit(AdamW8bitState state, AdamWStep step, GradientClip clip) {
        clip.factor().ifPresent(factor -> adamw8bit(state, step, factor));
    }

    private static void adamw8bit(AdamW8bitState state, AdamWStep step, double factor) {
        try (TensorScope scope = new TensorScope()) {
            MomentRows rows = new MomentRows(state.moments());
            AdamWState dense = new AdamWState(
                    rows.take(state.values()), rows.take(state.gradients()), null, rows.moment(0), rows.moment(1));
            adamw(dense, step, factor);
            rows.put(dense.values(), state.values());
            rows.put(dense.gradients(), state.gradients());
            rows.keep(0, dense.mean());
            rows.keep(1, dense.variance());
            if (state.computeCopies() != null) {
                state.computeCopies().copy_(state.values());
            }
        }
    }
}
