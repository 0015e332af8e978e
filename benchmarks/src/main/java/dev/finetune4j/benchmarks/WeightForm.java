package dev.finetune4j.benchmarks;

import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.DenseMatmul;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinear;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.quant.kernel.QuantizedTensor;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;

/** How the frozen weights of a benchmark are kept. */
enum WeightForm {
    /** As ordinary numbers: the yardstick. */
    DENSE("dense"),
    /** In 4-bit codes with double quantization. */
    NF4("nf4");

    private final String label;

    WeightForm(String label) {
        this.label = label;
    }

    static WeightForm of(String label) {
        for (WeightForm form : values()) {
            if (form.label.equals(label)) {
                return form;
            }
        }
        throw new IllegalArgumentException("the parameter form is dense or nf4, not " + label);
    }

    LinearFactory factory() {
        return this == DENSE ? LinearFactory.dense() : new QuantizedLinearFactory(QuantSettings.nf4());
    }

    /** {@code dy W} of a linear of this form, without recording. */
    Tensor inputGradient(Linear linear, Tensor dy) {
        return linear instanceof QuantizedLinear quantized
                ? quantized.inputGradient(dy)
                : new DenseMatmul(Objects.requireNonNull(linear.parameters().get("weight"))).backward(dy);
    }

    /** A frozen linear with a copy of the weight. */
    Linear linear(Tensor weight) {
        if (this == NF4) {
            return new QuantizedLinear(QuantizedTensor.quantize(weight, QuantSettings.nf4()), null);
        }
        try (TensorScope scope = new TensorScope()) {
            return new DenseLinear(scope.release(weight.clone()), null);
        }
    }
}
