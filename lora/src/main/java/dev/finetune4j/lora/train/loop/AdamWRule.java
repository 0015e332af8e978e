package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamWState;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamWStep;
import dev.finetune4j.core.kernel.OptimizerKernels.GradientClip;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.train.Optimizer;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** AdamW in the order of operations of PyTorch, one pass over the values of a group where there are kernels for it. */
final class AdamWRule implements UpdateRule {
    private final FlatParameters parameters;
    private final Optimizer.AdamW settings;
    private final Tensor expAvg;
    private final Tensor expAvgSq;

    AdamWRule(FlatParameters parameters, Optimizer.AdamW settings) {
        this.parameters = parameters;
        this.settings = settings;
        try (TensorScope scope = new TensorScope()) {
            expAvg = torch.zeros_like(parameters.values());
            expAvgSq = torch.zeros_like(parameters.values());
            scope.release(expAvg);
            scope.release(expAvgSq);
        }
    }

    @Override
    public void update(FlatParameters.Slice slice, Step step, GradientClip clip) {
        AdamWState state = new AdamWState(
                slice.of(parameters.values()),
                slice.of(parameters.gradients()),
                parameters.computeCopies(slice),
                slice.of(expAvg),
                slice.of(expAvgSq));
        AdamWStep numbers = new AdamWStep(
                step.learningRate(),
                step.weightDecay(),
                settings.beta1(),
                settings.beta2(),
                settings.epsilon(),
                step.number());
        DeviceKernels.of(expAvg).optimizer().adamw(state, numbers, clip);
    }

    @Override
    public Map<String, Tensor> state(FlatParameters.Slot slot) {
        return Map.of("exp_avg", slot.of(expAvg), "exp_avg_sq", slot.of(expAvgSq));
    }

    @Override
    public void close() {
        expAvg.close();
        expAvgSq.close();
    }
}
