package dev.finetune4j.core.model;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Set;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Weights that are made up on the device: each row has the same number in all places, and they sum to one. */
final class UniformWeights implements WeightSource {
    private final WeightSource shapes;
    private final ComputeDevice device;

    UniformWeights(WeightSpecs specs, ComputeDevice device) {
        this.shapes = new MetaWeights(specs);
        this.device = device;
    }

    @Override
    public Set<String> names() {
        return shapes.names();
    }

    @Override
    public TensorInfo info(String name) {
        return shapes.info(name);
    }

    @Override
    public Tensor read(String name) {
        long[] shape = info(name).shape();
        return Tensors.ones(device, ScalarType.Float, shape).mul_(new Scalar(1.0 / shape[shape.length - 1]));
    }

    @Override
    public void close() {
        shapes.close();
    }
}
