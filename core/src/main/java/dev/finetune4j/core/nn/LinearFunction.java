package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * {@code y = x Wᵀ + b}, PyTorch's {@code F.linear}, of a weight that may be trained. Where a device sums gradients
 * in one go it is one function with its own backward pass, whose gradients of weight and bias go straight to where they are gathered, in
 * float32; elsewhere libtorch records it.
 */
final class LinearFunction {
    private LinearFunction() {}

    /**
     * The product in the type of x.
     *
     * @param x shape (…, in)
     * @param weight shape (out, in)
     * @param bias shape (out), or null
     * @return shape (…, out)
     */
    static Tensor of(Tensor x, Tensor weight, @Nullable Tensor bias) {
        ScalarType type = Tensors.typeOf(x);
        if (!supports(x, weight) || !accumulatesGrad(weight) || (bias != null && !accumulatesGrad(bias))) {
            Tensor used = Tensors.as(weight, type);
            return bias == null
                    ? torch.linear(x, used)
                    : torch.linear(x, used, new TensorOptional(Tensors.as(bias, type)));
        }
        boolean trained = GradMode.is_enabled() && (weight.requires_grad() || (bias != null && bias.requires_grad()));
        boolean wanted = x.requires_grad();
        // The weight has a gradient even where the input needs none, as in the first layer.
        Tensor input = trained && !wanted ? x.detach().set_requires_grad(true) : x;
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    if (weight.requires_grad()) {
                        saved.keep(given);
                    }
                    @Nullable Tensor added = bias == null ? null : Tensors.as(bias, type);
                    return new DenseMatmul(weight).forward(given, added);
                },
                (gradient, saved) -> {
                    Tensor dy = gradient.reshape(-1, gradient.size(-1));
                    if (weight.requires_grad()) {
                        Tensor kept = saved.get(0);
                        DeviceKernels.of(dy).matmul().addTN(Gradients.of(weight), dy, kept.reshape(-1, kept.size(-1)));
                    }
                    if (bias != null && bias.requires_grad()) {
                        Gradients.of(bias)
                                .add_(dy.sum(new long[] {0}, false, new ScalarTypeOptional(ScalarType.Float)));
                    }
                    return wanted ? new DenseMatmul(weight).backward(gradient) : new Tensor();
                });
    }

    private static boolean supports(Tensor x, Tensor weight) {
        return DeviceKernels.of(x).matmul().sumsGradients(x, weight)
                && (!GradMode.is_enabled() || TensorScope.ofStep() != null);
    }

    /** Whether a tensor needs no gradient, or is where its gradient is gathered. */
    private static boolean accumulatesGrad(Tensor parameter) {
        return !parameter.requires_grad()
                || (parameter.is_leaf() && Tensors.typeOf(parameter) == ScalarType.Float && parameter.is_contiguous());
    }
}
