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
                new ElementKernels.Step(
                        (float) clip.factor(norm),
                        (float) step.decayFactor(),
                        (float) step.beta1(),
                        (float) step.beta2(),
                        (float) step.correctedRate(),
                        (float) step.rootCorrection(),
                        (float) step.epsilon()));
    }
}
