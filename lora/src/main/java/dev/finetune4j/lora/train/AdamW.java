package dev.finetune4j.lora.train;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * AdamW: Adam with decoupled weight decay (<a href="https://arxiv.org/abs/1711.05101">Loshchilov and Hutter 2019</a>), in
 * the order of operations of PyTorch, with β = (0.9, 0.999) and ε = 1e-8. Each group of parameters has its own learning
 * rate and may go without weight decay; a step is one update per group.
 */
final class AdamW implements AutoCloseable {
    private static final double BETA1 = 0.9;
    private static final double BETA2 = 0.999;
    private static final double EPSILON = 1e-8;

    private final FlatParameters parameters;
    private final double weightDecay;
    private final Tensor mean;
    private final Tensor variance;
    private int steps;

    AdamW(FlatParameters parameters, double weightDecay) {
        this.parameters = parameters;
        this.weightDecay = weightDecay;
        try (TensorScope scope = new TensorScope()) {
            mean = torch.zeros_like(parameters.values());
            variance = torch.zeros_like(parameters.values());
            scope.release(mean);
            scope.release(variance);
        }
    }

    /**
     * Scales the gradients down so that their norm, over all groups together, is at most {@code maxNorm}; 0 leaves them as
     * they are.
     *
     * @return the norm before
     */
    double clip(double maxNorm) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            double norm = torch.linalg_vector_norm(parameters.gradients()).item_double();
            double factor = maxNorm / (norm + 1e-6);
            if (maxNorm > 0 && factor < 1) {
                parameters.gradients().mul_(new Scalar(factor));
            }
            return norm;
        }
    }

    /**
     * Moves the values by one step and clears the gradients.
     *
     * @param learningRate the learning rate of a group whose factor is 1
     */
    void step(double learningRate) {
        steps++;
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            for (FlatParameters.Slice slice : parameters.slices()) {
                step(slice, learningRate * slice.group().learningRateFactor());
            }
            parameters.gradients().zero_();
        }
    }

    private void step(FlatParameters.Slice slice, double learningRate) {
        double correction1 = 1 - Math.pow(BETA1, steps);
        double correction2 = 1 - Math.pow(BETA2, steps);
        try (TensorScope scope = new TensorScope()) {
            Tensor value = slice.of(parameters.values());
            Tensor gradient = slice.of(parameters.gradients());
            Tensor first = slice.of(mean);
            Tensor second = slice.of(variance);
            if (weightDecay > 0 && slice.group().weightDecay()) {
                value.mul_(new Scalar(1 - learningRate * weightDecay));
            }
            first.lerp_(gradient, new Scalar(1 - BETA1));
            second.mul_(new Scalar(BETA2)).addcmul_(gradient, gradient, new Scalar(1 - BETA2));
            Tensor root = second.sqrt().div_(new Scalar(Math.sqrt(correction2))).add_(new Scalar(EPSILON));
            value.addcdiv_(first, root, new Scalar(-learningRate / correction1));
        }
    }

    @Override
    public void close() {
        mean.close();
        variance.close();
    }
}
