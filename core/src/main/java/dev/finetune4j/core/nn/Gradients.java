package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** Where the gradients of trained tensors add up, for backward passes that write there themselves. */
public final class Gradients {
    private Gradients() {}

    /** The gradient of a leaf, of its shape and type; zero until something is added. */
    public static Tensor of(Tensor parameter) {
        if (!parameter.grad().defined()) {
            parameter.mutable_grad().put(torch.zeros_like(parameter.detach()));
        }
        return parameter.grad();
    }
}
