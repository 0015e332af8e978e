package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.OptimizerKernels.GradientClip;
import dev.finetune4j.core.kernel.OptimizerKernels.LionState;
import dev.finetune4j.core.kernel.OptimizerKernels.LionStep;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.train.Optimizer;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** Lion by the formula of its paper. */
final class LionRule implements UpdateRule {
    private final FlatParameters parameters;
    private final Optimizer.Lion settings;
    private final Tensor expAvg;

    LionRule(FlatParameters parameters, Optimizer.Lion settings) {
        this.parameters = parameters;
        this.settings = settings;
        try (TensorScope scope = new TensorScope()) {
            expAvg = torch.zeros_like(parameters.values());
            scope.release(expAvg);
        }
    }

    @Override
    public void update(FlatParameters.Slice slice, Step step, GradientClip clip) {
        LionState state = new LionState(
                slice.of(parameters.values()),
                slice.of(parameters.gradients()),
                parameters.computeCopies(slice),
                slice.of(expAvg));
        LionStep numbers = new LionStep(step.learningRate(), step.weightDecay(), settings.beta1(), settings.beta2());
        DeviceKernels.of(expAvg).optimizer().lion(state, numbers, clip);
    }

    @Override
    public Map<String, Tensor> state(FlatParameters.Slot slot) {
        return Map.of("exp_avg", slot.of(expAvg));
    }

    @Override
    public void close() {
        expAvg.close();
    }
}
