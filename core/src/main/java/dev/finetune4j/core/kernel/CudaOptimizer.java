package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaModule;

/** On a CUDA GPU ({@code adamw.cu}, {@code adamw8bit.cu}, {@code lion.cu}), where the kernels themselves read loss and norm, so that nobody waits for them. */
record CudaOptimizer(ComputeDevice device) implements OptimizerKernels {
    private static final int THREADS = 256;
    private static final long MAX_BLOCKS = 4096;
    private static final int WARPS = 8;

    @Override
    public void adamw(AdamWState state, AdamWStep step, GradientClip clip) {
        long count = state.values().numel();
        CudaModule.of(CudaOptimizer.class, "adamw.cu", device)
                .kernel("adamw_f32")
                .launch(
                        blocks(count),
                        THREADS,
                        state.values(),
                        state.gradients(),
                        state.computeCopies(),
                        state.mean(),
                        state.variance(),
                        count,
                        clip.norm(),
                        clip.loss(),
                        (float) clip.maxNorm(),
                        (float) step.decayFactor(),
                        (float) step.beta1(),
                        (float) step.beta2(),
                        (float) step.correctedRate(),
                        (float) step.rootCorrection(),
                        (float) step.epsilon());
    }

    private static long blocks(long count) {
        return Math.min(MAX_BLOCKS, (count + THREADS - 1) / THREADS);
    }

    @Override
    public void lion(LionState state, LionStep step, GradientClip clip) {
        long count = state.values().numel();
        CudaModule.of(CudaOptimizer.class, "lion.cu", device)
                .kernel("lion_f32")
                .launch(
                        blocks(count),
                        THREADS,
                        state.values(),
                        state.gradients(),
                        state.computeCopies(),
                        state.mean(),
                        count,
                        clip.norm(),
                        clip.loss(),
                        (float) clip.maxNorm(),
                        (float) step.decayFactor(),
                        (float) step.beta1(),
                        (float) step.beta2(),
                        (float) step.learningRate());
    }

    @Override
    public void adamw8bit(AdamW8bitState state, AdamWStep step, GradientClip clip) {
        Moments moments = state.moments();
        long count = moments.blocks().size(0);
        CudaModule.of(CudaOptimizer.class, "adamw8bit.cu", device)
                .kernel("adamw8bit_f32")
                .launch(
                        Math.min(MAX_BLOCKS, (count + WARPS - 1) / WARPS),
                        WARPS * 32,
                        state.values(),
                        state.gradients(),
                        state.computeCopies(),
                        moments.blocks(),
                        count,
                        moments.codes(),
                        moments.absmax(),
                        moments.absmax().size(1),
                        moments.wide(),
                        moments.wide().size(1),
                        moments.maps(),
                        moments.limits(),
                        clip.norm(),
                        clip.loss(),
                        (float) clip.maxNorm(),
                        (float) step.decayFactor(),
                        (float) step.beta1(),
                        (float) step.beta2(),
                        (float) step.correctedRate(),
                        (float) step.rootCorrection(),
                        (float) step.epsilon());
    }
}
