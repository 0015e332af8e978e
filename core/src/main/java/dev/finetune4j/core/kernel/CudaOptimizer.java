package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** On a CUDA GPU ({@code adamw.cu}, {@code adamw8bit.cu}, {@code lion.cu}), where the kernels themselves read loss and norm, so that nobody waits for them. */
record CudaOptimizer(ComputeDevice device) implements OptimizerKernels {
    private static final int THREADS = 256;
    private static final long MAX_BLOCKS = 4096;
    private static final int WARPS = THREADS / 32;

    @Override
    public void adamw(AdamWState state, AdamWStep step, GradientClip clip) {
        long count = state.values().numel();
        @Nullable
        Object[] own = {state.values(), state.gradients(), state.computeCopies(), state.mean(), state.variance(), count
        };
        launch("adamw", blocks(count), own, clip, numbers(step));
    }

    @Override
    public void lion(LionState state, LionStep step, GradientClip clip) {
        long count = state.values().numel();
        @Nullable Object[] own = {state.values(), state.gradients(), state.computeCopies(), state.mean(), count};
        launch("lion", blocks(count), own, clip, step.decayFactor(), step.beta1(), step.beta2(), step.learningRate());
    }

    @Override
    public void adamw8bit(AdamW8bitState state, AdamWStep step, GradientClip clip) {
        Moments moments = state.moments();
        long count = moments.blocks().size(0);
        @Nullable
        Object[] own = {
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
            moments.limits()
        };
        launch("adamw8bit", Math.min(MAX_BLOCKS, (count + WARPS - 1) / WARPS), own, clip, numbers(step));
    }

    private static long blocks(long count) {
        return Math.min(MAX_BLOCKS, (count + THREADS - 1) / THREADS);
    }

    private static double[] numbers(AdamWStep step) {
        return new double[] {
            step.decayFactor(), step.beta1(), step.beta2(), step.correctedRate(), step.rootCorrection(), step.epsilon()
        };
    }

    /** The kernels' parameters are what they update, the clipping, and the numbers of the step. */
    private void launch(String name, long blocks, @Nullable Object[] own, GradientClip clip, double... step) {
        List<@Nullable Object> arguments = new ArrayList<>(Arrays.asList(own));
        arguments.add(clip.norm());
        arguments.add(clip.loss());
        arguments.add((float) clip.maxNorm());
        for (double number : step) {
            arguments.add((float) number);
        }
        CudaModule.of(CudaOptimizer.class, name + ".cu", device)
                .kernel(name + "_f32")
                .launch(blocks, THREADS, arguments.toArray());
    }
}
