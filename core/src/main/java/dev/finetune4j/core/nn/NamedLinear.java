package dev.finetune4j.core.nn;

import java.util.function.Supplier;
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

    Tensor forward(Tensor x, Supplier<Tensor> again) {
        return linear.forward(x, again);
    }

    NamedLinear map(PartMapper mapper) {
        return new NamedLinear(name, mapper.linear(name, linear));
    }
}
