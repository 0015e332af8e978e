package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

/** By libtorch's operations. */
final class TorchOptimizer implements OptimizerKernels {
    static final TorchOptimizer INSTANCE = new TorchOptimizer();

    private TorchOptimizer() {}

    @Override
    public void adamw(AdamWState state, AdamWStep step, GradientClip clip) {
        double norm = clip.norm().item_double();
        if (!Double.isFinite(norm) || !Double.isFinite(clip.loss().item_double())) {
            return;
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor gradient = state.gradients();
            double factor = clip.factor(norm);
            if (factor < 1) {
                gradient.mul_(new Scalar(factor));
            }
            if (step.decayFactor() != 1) {
                state.values().mul_(new Scalar(step.decayFactor()));
            }
            state.mean().lerp_(gradient, new Scalar(1 - step.beta1()));
            state.variance().mul_(new Scalar(step.beta2())).addcmul_(gradient, gradient, new Scalar(1 - step.beta2()));
            Tensor root = state.variance()
                    .sqrt()
                    .div_(new Scalar(step.rootCorrection()))
                    .add_(new Scalar(step.epsilon()));
            state.values().addcdiv_(state.mean(), root, new Scalar(-step.correctedRate()));
            gradient.zero_();
            if (state.computeCopies() != null) {
                state.computeCopies().copy_(state.values());
            }
        }
    }

    @Override
    public void lion(LionState state, LionStep step, GradientClip clip) {
        double norm = clip.norm().item_double();
        if (!Double.isFinite(norm) || !Double.isFinite(clip.loss().item_double())) {
            return;
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor gradient = state.gradients();
            double factor = clip.factor(norm);
            if (factor < 1) {
                gradient.mul_(new Scalar(factor));
            }
            if (step.decayFactor() != 1) {
                state.values().mul_(new Scalar(step.decayFactor()));
            }
            Tensor direction =
                    state.mean().lerp(gradient, new Scalar(1 - step.beta1())).sign_();
            state.values().add_(direction, new Scalar(-step.learningRate()));
            state.mean().lerp_(gradient, new Scalar(1 - step.beta2()));
            gradient.zero_();
            if (state.computeCopies() != null) {
                state.computeCopies().copy_(state.values());
            }
        }
    }

    @Override
    public void adamw8bit(AdamW8bitState state, AdamWStep step, GradientClip clip) {
        try (TensorScope scope = new TensorScope()) {
            MomentRows rows = new MomentRows(state.moments());
            AdamWState dense = new AdamWState(
                    rows.take(state.values()), rows.take(state.gradients()), null, rows.moment(0), rows.moment(1));
            double norm = clip.norm().item_double();
            if (!Double.isFinite(norm) || !Double.isFinite(clip.loss().item_double())) {
                return;
            }
            adamw(dense, step, clip);
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
