package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Fixtures;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TensorData;
import java.nio.file.Path;
import java.util.Arrays;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The batch that logits, loss and gradients of the reference belong to: ids, mask and labels of one file. */
final class ReferenceBatch implements AutoCloseable {
    private final SafetensorsFile file;
    private final int rows;
    private final int length;

    private ReferenceBatch(SafetensorsFile file) {
        this.file = file;
        long[] shape = file.info("input_ids").shape();
        this.rows = Math.toIntExact(shape[0]);
        this.length = Math.toIntExact(shape[1]);
    }

    /** Opens the file if it holds a batch itself, else the one of the base. */
    static ReferenceBatch open(Path golden, Path base) {
        try (SafetensorsFile own = SafetensorsFile.open(golden)) {
            boolean complete = own.names().contains("input_ids");
            return new ReferenceBatch(SafetensorsFile.open(complete ? golden : base.resolve("golden.safetensors")));
        }
    }

    /** What the model gives, with zeros at padding. */
    float[] logits(CausalLM model) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return unpadded(Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(ids(model))))), length);
        }
    }

    /** What the reference gives, with zeros at padding and without the positions of virtual tokens in front. */
    float[] expectedLogits(SafetensorsFile golden) {
        long[] shape = golden.info("logits").shape();
        assertTrue(
                shape.length == 3 && shape[0] == rows && shape[1] >= length,
                () -> "logits of the shape " + Arrays.toString(shape) + " for " + rows + " x " + length + " tokens");
        return unpadded(TensorData.floats(golden, "logits"), Math.toIntExact(shape[1]));
    }

    /** The last positions of each row. What a padded one predicts has no meaning. */
    private float[] unpadded(float[] logits, int rowLength) {
        int vocabulary = logits.length / rows / rowLength;
        long[] mask = mask();
        float[] kept = new float[rows * length * vocabulary];
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < length; i++) {
                if (mask[row * length + i] != 0) {
                    int from = (row * rowLength + rowLength - length + i) * vocabulary;
                    System.arraycopy(logits, from, kept, (row * length + i) * vocabulary, vocabulary);
                }
            }
        }
        return kept;
    }

    private Tensor ids(CausalLM model) {
        return Tensors.convert(file.read("input_ids"), model.placement().device(), ScalarType.Long);
    }

    private long[] mask() {
        if (file.names().contains("attention_mask")) {
            return TensorData.longs(file, "attention_mask");
        }
        long[] all = new long[rows * length];
        Arrays.fill(all, 1);
        return all;
    }

    /** How many tokens the loss is the mean over. */
    long targets() {
        return Arrays.stream(labels()).filter(label -> label != Labels.IGNORE).count();
    }

    private long[] labels() {
        return Fixtures.shift(TensorData.longs(file, "labels"), rows, length);
    }

    /** The mean loss. */
    double loss(CausalLM model) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor hidden = model.hidden(ModelInput.padded(ids(model)));
            return NextTokenLoss.sum(hidden, model::logits, labels()) / targets();
        }
    }

    /** Brings the gradient of the mean loss to everything that asks for one. */
    void backward(CausalLM model) {
        try (TensorScope scope = new TensorScope()) {
            Tensor hidden = model.hidden(ModelInput.padded(ids(model)));
            NextTokenLoss.lossAndBackward(hidden, model::logits, labels(), 1.0 / targets());
        }
    }

    /** The gradient that has arrived; zeros where none has. */
    static float[] gradient(Tensor parameter) {
        Tensor gradient = parameter.grad();
        return gradient.defined() ? Tensors.toFloats(gradient) : new float[Math.toIntExact(parameter.numel())];
    }

    @Override
    public void close() {
        file.close();
    }
}
