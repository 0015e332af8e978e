package dev.finetune4j.lora.objective;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import java.util.Arrays;
import java.util.function.Function;
import org.bytedeco.pytorch.Tensor;

/**
 * A micro-batch on the model's device, which a pass reads.
 *
 * @param host the batch itself; a pass that reads it cannot be captured
 * @param tokens ids, int64, (B, T)
 * @param targets what its positions have to predict
 * @param scale factor on gradient and loss, one float32
 */
public record DeviceBatch(Batch host, Tensor tokens, Targets targets, Tensor scale) implements AutoCloseable {
    /**
     * What two batches share that one captured pass is right for.
     *
     * @param rows B
     * @param length T
     * @param targets their number, those that only fill up included
     */
    public record Shape(long rows, long length, int targets) {}

    /** The batch of an objective whose loss is a sum over target tokens. */
    static DeviceBatch ofTokens(CausalLM model, Batch batch, double scale, int multiple) {
        return of(model, batch, scale, device -> Targets.of(device, batch.labels(), multiple));
    }

    /** The batch of an objective whose loss is a function of whole sequences, each of which is a row. */
    static DeviceBatch ofSequences(CausalLM model, Batch batch, double scale, int multiple) {
        int[] lengths = new int[batch.rows()];
        Arrays.fill(lengths, batch.length());
        return of(model, batch, scale, device -> Targets.ofSequences(device, batch.labels(), multiple, lengths));
    }

    private static DeviceBatch of(
            CausalLM model, Batch batch, double scale, Function<ComputeDevice, Targets> onDevice) {
        ComputeDevice device = model.placement().device();
        try (TensorScope scope = new TensorScope()) {
            Tensor tokens = model.tokens(batch.inputIds(), batch.rows(), batch.length()); // (B, T)
            Tensor factor = Tensors.ofFloats(device, new float[] {(float) scale}, 1);
            // Last of those that can fail, because no scope owns it.
            Targets targets = onDevice.apply(device);
            return new DeviceBatch(batch, scope.release(tokens), targets, scope.release(factor));
        }
    }

    /** The batch as the model takes it. */
    public ModelInput input() {
        return ModelInput.padded(tokens);
    }

    /** Its shape. */
    public Shape shape() {
        return new Shape(tokens.size(0), tokens.size(1), targets.count());
    }

    /** The same in memory of its own. */
    public DeviceBatch copy() {
        try (TensorScope scope = new TensorScope()) {
            Tensor ownTokens = tokens.clone();
            Tensor ownScale = scale.clone();
            // Last of those that can fail, because no scope owns it.
            Targets ownTargets = targets.copy();
            return new DeviceBatch(host, scope.release(ownTokens), ownTargets, scope.release(ownScale));
        }
    }

    /** Takes over the tensors' values of a batch of the same shape. */
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
