package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaModule;

/** On a CUDA GPU ({@code adamw.cu}), where the kernel itself reads loss and norm, so that nobody waits for it. */
record CudaOptimizer(ComputeDevice device) implements OptimizerKernels {
    private static final int THREADS = 256;
    private static final long MAX_BLOCKS = 4096;

    @Override
    public void adamw(AdamWState state, AdamWStep step, GradientClip clip) {
        long count = state.values().numel();
        CudaModule.of(CudaOptimizer.class, "adamw.cu", device)
                .kernel("adamw_f32")
                .launch(
                        Math.min(MAX_BLOCKS, (count + THREADS - 1) / THREADS),
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
}
