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
import java.util.stream.IntStream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The batch that logits, loss and gradients of the reference belong to: ids, mask and labels of one file. */
final class ReferenceBatch implements AutoCloseable {
    /** Names the positions whose logits a file has where it has not all of them. */
    private static final String POSITIONS = "logits_positions";

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

    /** Compares the model's logits with those of the file, where the file has some and no token is padding. */
    void compareLogits(Closeness near, String quantity, Path file, CausalLM model, double allowed) {
        try (SafetensorsFile golden = SafetensorsFile.open(file)) {
            long[] shape = golden.info("logits").shape();
            int[] positions = positions(golden, length);
            boolean part = golden.names().contains(POSITIONS);
            assertTrue(
                    shape.length == 3 && shape[0] == rows && (part ? shape[1] == positions.length : shape[1] >= length),
                    () -> "logits of the shape " + Arrays.toString(shape) + " for " + rows + " x " + length
                            + " tokens");
            // Virtual tokens stand in front of a row.
            int stored = Math.toIntExact(shape[1]);
            int[] places = IntStream.range(stored - positions.length, stored).toArray();
            float[] expected = unpadded(TensorData.floats(golden, "logits"), stored, places, positions);
            float[] actual = unpadded(logits(model), length, positions, positions);
            near.relative(quantity, file.toString(), expected, actual, allowed);
        }
    }

    /** The positions in each row whose logits a file has: those it names, else all. */
    static int[] positions(SafetensorsFile golden, int length) {
        return golden.names().contains(POSITIONS)
                ? Arrays.stream(TensorData.longs(golden, POSITIONS))
                        .mapToInt(Math::toIntExact)
                        .toArray()
                : IntStream.range(0, length).toArray();
    }

    private float[] logits(CausalLM model) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(ids(model)))));
        }
    }

    /** The logits at some places of each row, with zeros at padding: what a padded token predicts has no meaning. */
    private float[] unpadded(float[] logits, int rowLength, int[] places, int[] positions) {
        int vocabulary = logits.length / rows / rowLength;
        long[] mask = mask();
        float[] kept = new float[rows * positions.length * vocabulary];
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < positions.length; i++) {
                if (mask[row * length + positions[i]] != 0) {
                    int from = (row * rowLength + places[i]) * vocabulary;
                    System.arraycopy(logits, from, kept, (row * positions.length + i) * vocabulary, vocabulary);
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
