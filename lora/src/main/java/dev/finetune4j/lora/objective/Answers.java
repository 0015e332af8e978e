package dev.finetune4j.lora.objective;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import java.util.List;
import org.bytedeco.pytorch.Tensor;

/**
 * What losses that compare the S sequences of a batch know of them, on the model's device.
 *
 * @param tokens how many targets each has, (S) float32
 * @param promptTokens how many positions stand before the first target of each, (S) float32
 * @param desirable 1 for each that was judged so, else 0, (S) float32
 */
record Answers(Tensor tokens, Tensor promptTokens, Tensor desirable) {
    /** Those of a batch; the caller's scope owns the tensors. */
    static Answers of(ComputeDevice device, Batch batch) {
        List<Batch.Sequence> sequences = batch.sequences();
        int size = sequences.size();
        float[] numbers = new float[3 * size];
        for (int i = 0; i < size; i++) {
            EncodedSequence sequence = sequences.get(i).tokens();
            numbers[i] = sequence.targetTokens();
            numbers[size + i] = sequence.promptPositions();
            numbers[2 * size + i] = sequence.kind() == Kind.DESIRABLE ? 1 : 0;
        }
        Tensor all = Tensors.ofFloats(device, numbers, 3, size);
        return new Answers(all.select(0, 0), all.select(0, 1), all.select(0, 2));
    }

    /** The same in memory of its own; the caller's scope owns the tensors. */
    Answers copy() {
        return new Answers(tokens.clone(), promptTokens.clone(), desirable.clone());
    }

    List<Tensor> tensors() {
        return List.of(tokens, promptTokens, desirable);
    }
}
