package dev.finetune4j.lora.adapter.ia3;

import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.lora.adapter.layer.AdapterLayer;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * The factors by which one linear is rescaled.
 *
 * @param factors shape (1, in) for the input or (out, 1) for the output, float32
 * @param ofInput which of the two
 */
record Ia3Layer(Tensor factors, boolean ofInput) implements AdapterLayer {
    static final String FACTORS = "ia3_l";

    @Override
    public Map<String, Tensor> trained() {
        return Map.of(FACTORS, factors);
    }

    @Override
    public Linear wrap(Linear base) {
        return new Ia3Linear(base, this);
    }
}
