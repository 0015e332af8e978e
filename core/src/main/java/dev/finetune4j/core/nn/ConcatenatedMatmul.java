package dev.finetune4j.core.nn;

import java.util.List;
import org.bytedeco.pytorch.Tensor;

/**
 * Matmuls one after the other, each on its columns of the output.
 *
 * @param weights in order
 */
public record ConcatenatedMatmul(List<FrozenMatmul> weights) implements FrozenMatmul {
    @Override
    public long outFeatures() {
        return weights.stream().mapToLong(FrozenMatmul::outFeatures).sum();
    }

    @Override
    public void addForward(Tensor y, Tensor x) {
        long column = 0;
        for (FrozenMatmul weight : weights) {
            weight.addForward(y.narrow(1, column, weight.outFeatures()), x);
            column += weight.outFeatures();
        }
    }

    @Override
    public void addBackward(Tensor dx, Tensor dy) {
        long column = 0;
        for (FrozenMatmul weight : weights) {
            weight.addBackward(dx, dy.narrow(1, column, weight.outFeatures()));
            column += weight.outFeatures();
        }
    }
}
