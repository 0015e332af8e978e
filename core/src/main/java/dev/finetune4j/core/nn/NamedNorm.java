package dev.finetune4j.core.nn;

import org.bytedeco.pytorch.Tensor;

/**
 * A norm and where it stands.
 *
 * @param name Hugging Face module path
 * @param norm the norm
 */
public record NamedNorm(String name, RmsNorm norm) {
    Tensor forward(Tensor x) {
        return norm.forward(x);
    }

    NamedNorm map(ModuleTransform mapper) {
        return new NamedNorm(name, mapper.norm(name, norm));
    }
}
