package dev.finetune4j.core.model;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.Dtype;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Weights on the meta device, as PyTorch says: right in names and shapes, but each tensor is a view of a single zero. */
final class MetaWeights implements WeightSource {
    private final Map<String, long[]> shapes;

    MetaWeights(WeightSpecs specs) {
        shapes = new LinkedHashMap<>(specs.tensors());
        for (LinearSpec spec : specs.linears().values()) {
            shapes.put(spec.weightName(), new long[] {spec.outFeatures(), spec.inFeatures()});
            if (spec.bias()) {
                shapes.put(spec.biasName(), new long[] {spec.outFeatures()});
            }
        }
    }

    @Override
    public Set<String> names() {
        return shapes.keySet();
    }

    @Override
    public TensorInfo info(String name) {
        long[] shape = shape(name);
        long elements = Arrays.stream(shape).reduce(1, Math::multiplyExact);
        return new TensorInfo(name, Dtype.F32, shape, 0, elements * Float.BYTES);
    }

    @Override
    public Tensor read(String name) {
        return Tensors.zeros(ComputeDevice.cpu(), ScalarType.Float, 1).expand(shape(name));
    }

    private long[] shape(String name) {
        return Objects.requireNonNull(shapes.get(name), name);
    }

    @Override
    public void close() {
        // Nothing is open.
    }
}
