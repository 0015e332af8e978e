package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.cpu.ElementKernels;

/** On the CPU, which knows loss and norm before it begins. */
record CpuOptimizer(ElementKernels kernels) implements OptimizerKernels {
    @Override
    public void adamw(AdamWState state, AdamWStep step, GradientClip clip) {
        double norm = clip.norm().item_double();
        if (!Double.isFinite(norm) || !Double.isFinite(clip.loss().item_double())) {
            return;
        }
        kernels.adamw(
                state.values(),
                state.gradients(),
                state.computeCopies(),
                state.mean(),
                state.variance(),
                numbers(step, clip.factor(norm)));
    }

    private static ElementKernels.Step numbers(AdamWStep step, double factor) {
        return new ElementKernels.Step(
                (float) factor,
                (float) step.decayFactor(),
                (float) step.beta1(),
                (float) step.beta2(),
                (float) step.correctedRate(),
                (float) step.rootCorrection(),
                (float) step.epsilon());
    }

    @Override
    public void adamw8bit(AdamW8bitState state, AdamWStep step, GradientClip clip) {
        double norm = clip.norm().item_double();
        if (!Double.isFinite(norm) || !Double.isFinite(clip.loss().item_double())) {
            return;
        }
        Moments moments = state.moments();
        kernels.adamw8bit(
                state.values(),
                state.gradients(),
                state.computeCopies(),
                new ElementKernels.Moments(
                        moments.blocks(),
                        moments.codes(),
                        moments.absmax(),
                        moments.wide(),
                        moments.maps(),
                        moments.limits()),
                numbers(step, clip.factor(norm)));
    }

    @Override
    public void lion(LionState state, LionStep step, GradientClip clip) {
        TorchOptimizer.INSTANCE.lion(state, step, clip);
    }
}
