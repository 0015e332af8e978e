package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.cpu.ElementKernels;

/** On the CPU, which knows loss and norm before it begins. */
record CpuOptimizer(ElementKernels kernels) implements OptimizerKernels {
    @Override
    public void adamw(AdamWState state, AdamWStep step, GradientClip clip) {
        clip.factor()
                .ifPresent(factor -> kernels.adamw(
                        state.values(),
                        state.gradients(),
                        state.computeCopies(),
                        state.mean(),
                        state.variance(),
                        numbers(step, factor)));
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
        Moments given = state.moments();
        ElementKernels.Moments moments = new ElementKernels.Moments(
                given.blocks(), given.codes(), given.absmax(), given.wide(), given.maps(), given.limits());
        clip.factor()
                .ifPresent(factor -> kernels.adamw8bit(
                        state.values(), state.gradients(), state.computeCopies(), moments, numbers(step, factor)));
    }

    @Override
    public void lion(LionState state, LionStep step, GradientClip clip) {
        TorchOptimizer.INSTANCE.lion(state, step, clip);
    }
}
