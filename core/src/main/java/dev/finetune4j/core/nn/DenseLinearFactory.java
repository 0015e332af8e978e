package dev.finetune4j.core.nn;

import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** Weights as they are in the file, converted to the model's precision. */
final class DenseLinearFactory implements LinearFactory {
    @Override
    public Linear create(LinearSpec spec, WeightSource weights, Placement placement) {
        Tensor weight = Parameters.load(weights, spec.weightName(), placement);
        try {
            @Nullable Tensor bias = spec.bias() ? Parameters.load(weights, spec.biasName(), placement) : null;
            return new DenseLinear(weight, bias);
        } catch (RuntimeException | Error e) {
            weight.close();
            throw e;
        }
    }

    @Override
    public List<Linear> createStacked(List<LinearSpec> specs, WeightSource weights, Placement placement) {
        LinearSpec first = specs.get(0);
        try (TensorScope scope = new TensorScope()) {
            long rows = first.outFeatures();
            Tensor all = Tensors.empty(
                    placement.device(), Tensors.typeOf(placement.weights()), rows * specs.size(), first.inFeatures());
            List<Tensor> parts = new ArrayList<>();
            for (LinearSpec spec : specs) {
                Tensor part = all.narrow(0, rows * parts.size(), rows);
                try (Tensor weight = Parameters.load(weights, spec.weightName(), placement)) {
                    part.copy_(weight);
                }
                parts.add(part);
            }
            List<Linear> linears = new ArrayList<>();
            parts.forEach(part -> linears.add(new DenseLinear(scope.release(part), null)));
            return linears;
        }
    }
}
