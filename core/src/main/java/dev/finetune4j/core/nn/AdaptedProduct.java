package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.kernel.GroupedMatmul;
import dev.finetune4j.core.tensor.Tensors;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * {@code y = x Wᵀ + s · (x Aᵀ) Bᵀ} with frozen weights and trained factors of each row's group: LoRA on all experts, each product one
 * operation.
 */
record AdaptedProduct(GroupedMatmul kernel, WeightStack weights, LowRankStack addition) {
    /**
     * The product.
     *
     * @param x shape (rows, in)
     * @param ends how many rows belong to each group and those before it, int32
     */
    Tensor of(Tensor x, Tensor ends) {
        boolean wanted = x.requires_grad();
        // The factors have gradients even where the input needs none, as in the first layer.
        Tensor input = GradMode.is_enabled() && !wanted && addition.isTrained()
                ? x.detach().set_requires_grad(true)
                : x;
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    ScalarType type = Tensors.typeOf(given);
                    Tensor low = kernel.forward(given, addition.a(type), ends).mul_(new Scalar(addition.scale()));
                    saved.keep(ends);
                    saved.keep(low);
                    saved.keep(given);
                    return kernel.forward(given, weights.dense(type), ends)
                            .add_(kernel.forward(low, addition.b(type), ends));
                },
                (gradient, saved) -> backward(gradient.contiguous(), saved, wanted));
    }

    private Tensor backward(Tensor dy, CustomFunction.Saved saved, boolean wanted) {
        ScalarType type = Tensors.typeOf(dy);
        Tensor ends = saved.get(0);
        Tensor low = saved.get(1);
        Tensor x = saved.get(2);
        Tensor a = addition.a(type);
        Tensor dlow = kernel.backward(dy, addition.b(type), ends).mul_(new Scalar(addition.scale())); // (rows, r)
        if (addition.isTrained()) {
            addition.addGradients(kernel.weightGradient(dlow, x, ends), kernel.weightGradient(dy, low, ends));
        }
        return wanted
                ? kernel.backward(dy, weights.dense(type), ends).add_(kernel.backward(dlow, a, ends))
                : new Tensor();
    }
}
