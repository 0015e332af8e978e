package dev.finetune4j.lora.train;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.Batch;
import dev.finetune4j.data.EncodedExample;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** How many of the rows that a model was trained on it has learned by heart. Stateless. */
final class ExactMatch {
    private static final int POSITIONS_PER_CHUNK = 256;

    private ExactMatch() {}

    /** The rows of which every target token is the likeliest one: those that the model answers word for word. */
    static int count(CausalLM model, List<Batch> batches) {
        return batches.stream().mapToInt(batch -> count(model, batch)).sum();
    }

    private static int count(CausalLM model, Batch batch) {
        int[] targets = IntStream.range(0, batch.labels().length)
                .filter(i -> batch.labels()[i] != EncodedExample.IGNORE)
                .toArray();
        boolean[] missed = new boolean[batch.rows()];
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor tokens = model.tokens(batch.inputIds(), batch.rows(), batch.length());
            Tensor hidden = model.hidden(ModelInput.padded(tokens)); // (B, T, D)
            Tensor flat = hidden.view(-1, hidden.size(2)); // (B · T, D)
            for (int start = 0; start < targets.length; start += POSITIONS_PER_CHUNK) {
                int count = Math.min(POSITIONS_PER_CHUNK, targets.length - start);
                long[] likeliest = likeliest(model, flat, targets, start, count);
                for (int i = 0; i < count; i++) {
                    int position = targets[start + i];
                    missed[position / batch.length()] |= likeliest[i] != batch.labels()[position];
                }
            }
        }
        return (int)
                IntStream.range(0, missed.length).filter(row -> !missed[row]).count();
    }

    private static long[] likeliest(CausalLM model, Tensor flat, int[] targets, int start, int count) {
        try (TensorScope scope = new TensorScope()) {
            long[] positions = IntStream.range(start, start + count)
                    .mapToLong(i -> targets[i])
                    .toArray();
            Tensor chosen = flat.index_select(0, Tensors.ofLongs(Tensors.deviceOf(flat), positions, count)); // (n, D)
            return Tensors.toLongs(model.logits(chosen).argmax(new LongOptional(-1), false)); // (n)
        }
    }
}
