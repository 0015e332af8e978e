package dev.finetune4j.lora.export;

import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.Map;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Makes linears that read their weights each time they compute, so that only one of a model's is in memory. The weights must stay
 * open as long as the model is used.
 *
 * @param inner makes what computes
 */
record StreamedLinears(LinearFactory inner) implements LinearFactory {
    @Override
    public Linear create(LinearSpec spec, WeightSource weights, Placement placement) {
        return new Streamed(spec, () -> inner.create(spec, weights, placement));
    }

    @Override
    public boolean readsPacked(LinearSpec spec, WeightSource weights) {
        return inner.readsPacked(spec, weights);
    }

    @FunctionalInterface
    private interface Reader {
        Linear read();
    }

    private record Streamed(LinearSpec spec, Reader reader) implements Linear {
        private @Nullable Tensor with(Function<Linear, @Nullable Tensor> use) {
            try (TensorScope scope = new TensorScope();
                    Linear linear = reader.read()) {
                Tensor result = use.apply(linear);
                return result == null ? null : scope.keep(result.clone());
            }
        }

        @Override
        public Tensor forward(Tensor x) {
            return required(with(linear -> linear.forward(x)));
        }

        @Override
        public Tensor denseWeight() {
            return required(with(Linear::denseWeight));
        }

        private static Tensor required(@Nullable Tensor tensor) {
            if (tensor == null) {
                throw new IllegalStateException("a linear has no weight");
            }
            return tensor;
        }

        @Override
        public @Nullable Tensor bias() {
            return spec.bias() ? with(Linear::bias) : null;
        }

        @Override
        public long inFeatures() {
            return spec.inFeatures();
        }

        @Override
        public long outFeatures() {
            return spec.outFeatures();
        }

        @Override
        public Map<String, Tensor> parameters() {
            return Map.of(); // none stays
        }

        @Override
        public void close() {
            // Nothing stays open.
        }
    }
}
