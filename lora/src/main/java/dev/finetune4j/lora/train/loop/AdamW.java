package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamWState;
import dev.finetune4j.core.kernel.OptimizerKernels.AdamWStep;
import dev.finetune4j.core.kernel.OptimizerKernels.GradientClip;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.train.TrainingSettings;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * AdamW: Adam with decoupled weight decay (<a href="https://arxiv.org/abs/1711.05101">Loshchilov and Hutter 2019</a>), in
 * the order of operations of PyTorch. Each group of parameters has its own learning
 * rate and may go without weight decay; a step is one update per group, one pass over its values where there
 * are kernels for it; on a CUDA GPU nobody waits for it.
 */
final class AdamW implements Optimizer {
    private final FlatParameters parameters;
    private final double weightDecay;
    private final TrainingSettings.Adam adam;
    private final Tensor expAvg;
    private final Tensor expAvgSq;
    private int steps;

    AdamW(FlatParameters parameters, double weightDecay, TrainingSettings.Adam adam) {
        this.parameters = parameters;
        this.weightDecay = weightDecay;
        this.adam = adam;
        try (TensorScope scope = new TensorScope()) {
            expAvg = torch.zeros_like(parameters.values());
            expAvgSq = torch.zeros_like(parameters.values());
            scope.release(expAvg);
            scope.release(expAvgSq);
        }
    }

    @Override
    public AsyncResult clipAndStep(Tensor sums, double maxNorm, double learningRate) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor norm = torch.linalg_vector_norm(parameters.gradients());
            Tensor sumsAndNorm =
                    torch.cat(new TensorVector(sums, norm.to(ScalarType.Double).view(1)), 0);
            steps++;
            DeviceKernels kernels = DeviceKernels.of(sumsAndNorm);
            GradientClip clip = new GradientClip(sums.narrow(0, 0, 1), norm, maxNorm);
            for (FlatParameters.Slice slice : parameters.slices()) {
                kernels.optimizer().adamw(state(slice), hyperparameters(slice, learningRate), clip);
            }
            return new AsyncResult(kernels.readback(sumsAndNorm));
        }
    }

    private AdamWState state(FlatParameters.Slice slice) {
        Tensor copies = parameters.computeCopies();
        return new AdamWState(
                slice.of(parameters.values()),
                slice.of(parameters.gradients()),
                copies == null ? null : slice.of(copies),
                slice.of(expAvg),
                slice.of(expAvgSq));
    }

    private AdamWStep hyperparameters(FlatParameters.Slice slice, double learningRate) {
        return new AdamWStep(
                learningRate * slice.group().learningRateFactor(),
                slice.group().weightDecay() ? weightDecay : 0,
                adam.beta1(),
                adam.beta2(),
                adam.epsilon(),
                steps);
    }

    @Override
    public Map<String, Tensor> state() {
        Map<String, Tensor> state = new LinkedHashMap<>();
        for (FlatParameters.Slot slot : parameters.slots()) {
            state.put("exp_avg." + slot.name(), slot.of(expAvg));
            state.put("exp_avg_sq." + slot.name(), slot.of(expAvgSq));
        }
        return state;
    }

    @Override
    public void goTo(int updates) {
        steps = updates;
    }

    @Override
    public void close() {
        expAvg.close();
        expAvgSq.close();
    }
}
