package dev.finetune4j.lora.objective;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import org.bytedeco.pytorch.Tensor;

/**
 * The tensors of a micro-batch on the model's device, which a pass reads.
 *
 * @param tokens ids, int64, (B, T)
 * @param targets what its positions have to predict
 * @param scale factor on gradient and loss, one float32
 */
public record DeviceBatch(Tensor tokens, Targets targets, Tensor scale) implements AutoCloseable {
    /** What two batches share that one captured pass is right for. */
    public record Shape(long rows, long length, int targets, int sequences) {}

    /** The batch of an objective whose loss is a sum over target tokens. */
    static DeviceBatch ofTokens(CausalLM model, Batch batch, double scale, int multiple) {
        ComputeDevice device = model.placement().device();
        try (TensorScope scope = new TensorScope()) {
            Tensor tokens = model.tokens(batch.inputIds(), batch.rows(), batch.length()); // (B, T)
            Tensor factor = Tensors.ofFloats(device, new float[] {(float) scale}, 1);
            // Last of those that can fail, because no scope owns it.
            Targets targets = Targets.of(device, batch.labels(), multiple);
            return new DeviceBatch(scope.release(tokens), targets, scope.release(factor));
        }
    }

    /** The batch as the model takes it. */
    public ModelInput input() {
        return ModelInput.padded(tokens);
    }

    public Shape shape() {
        return new Shape(tokens.size(0), tokens.size(1), targets.count(), targets.sequenceCount());
    }

    /** The same in memory of its own. */
    public DeviceBatch copy() {
        try (TensorScope scope = new TensorScope()) {
            Tensor ownTokens = tokens.clone();
            Tensor ownScale = scale.clone();
            // Last of those that can fail, because no scope owns it.
            Targets ownTargets = targets.copy();
            return new DeviceBatch(scope.release(ownTokens), ownTargets, scope.release(ownScale));
        }
    }

    /** Takes over the values of a batch of the same shape. */
    public void copyFrom(DeviceBatch other) {
        tokens.copy_(other.tokens);
        targets.copyFrom(other.targets);
        scale.copy_(other.scale);
    }

    /** Frees the tensors. Closing twice is fine. */
    @Override
    public void close() {
        tokens.close();
        targets.close();
        scale.close();
    }
}
