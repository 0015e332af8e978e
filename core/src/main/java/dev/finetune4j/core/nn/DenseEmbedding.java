package dev.finetune4j.core.nn;

import dev.finetune4j.core.tensor.Tensors;
import java.util.Map;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** An embedding with an ordinary weight matrix. */
public final class DenseEmbedding implements Embedding {
    private final Tensor weight;
    private final double scale;

    /**
     * @param weight shape (V, D); owned by this embedding from now on
     * @param scale factor on every row, 1 for none
     */
    public DenseEmbedding(Tensor weight, double scale) {
        this.weight = weight;
        this.scale = scale;
    }

    @Override
    public Tensor forward(Tensor tokens) {
        Tensor rows = torch.embedding(weight, tokens);
        if (scale == 1) {
            return rows;
        }
        // In lower precision the published models round the factor to the weight's type before they multiply.
        Tensor factor = Tensors.ones(Tensors.deviceOf(rows), Tensors.typeOf(rows), 1);
        return rows.mul(factor.mul_(new Scalar(scale)));
    }

    @Override
    public long vocabulary() {
        return weight.size(0);
    }

    @Override
    public long width() {
        return weight.size(1);
    }

    @Override
    public double scale() {
        return scale;
    }

    /** The weight itself, shape (V, D). */
    public Tensor weight() {
        return weight;
    }

    @Override
    public Tensor denseWeight() {
        return weight.detach().to(ScalarType.Float, false, true, new MemoryFormatOptional());
    }

    @Override
    public Map<String, Tensor> parameters() {
        return Map.of("weight", weight);
    }

    @Override
    public void close() {
        weight.close();
    }
}
