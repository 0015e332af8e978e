package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;

/**
 * A linear and where it stands.
 *
 * @param name Hugging Face module path
 * @param linear the linear
 */
public record NamedLinear(String name, Linear linear) {
    Tensor forward(Tensor x) {
        return linear.forward(x);
    }

    Tensor forward(Recomputable x) {
        return x.recomputation() == null ? linear.forward(x.tensor()) : linear.forward(x.tensor(), x.recomputation());
    }

    Tensor forwardForGradient(Recomputable x) {
        return linear.forwardForGradient(x.tensor(), x.recomputation());
    }

    NamedLinear map(ModuleTransform mapper) {
        return new NamedLinear(name, mapper.linear(name, linear));
    }
}
