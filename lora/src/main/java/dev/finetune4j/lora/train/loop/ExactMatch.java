package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.ChunkedHead;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.lora.objective.DeviceBatch;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** Exact match under teacher forcing: how many of the rows that a model was trained on it has learned by heart. Stateless. */
final class ExactMatch {
    private ExactMatch() {}

    /** The rows of which every target token is the argmax: those that the model answers word for word. */
    static int count(CausalLM model, List<Batch> batches) {
        return batches.stream().mapToInt(batch -> count(model, batch)).sum();
    }

    private static int count(CausalLM model, Batch batch) {
        int[] examples = examples(batch);
        boolean[] missed = new boolean[batch.examples()];
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                Targets targets = Targets.of(model.placement().device(), batch.labels(), 1)) {
            Tensor hidden = model.hidden(DeviceBatch.input(model, batch)); // (B, T, D)
            new ChunkedHead(model::logits).forward(hidden, targets, (logits, chunk) -> {
                long[] argmax = Tensors.toLongs(logits.argmax(new LongOptional(-1), false)); // (n)
                long[] ids = Tensors.toLongs(chunk.ids());
                long[] positions = Tensors.toLongs(chunk.positions());
                for (int i = 0; i < ids.length; i++) {
                    missed[examples[(int) positions[i]]] |= argmax[i] != ids[i];
                }
            });
        }
        return (int)
                IntStream.range(0, missed.length).filter(row -> !missed[row]).count();
    }

    /** The example of each position of (B, T); 0 for padding. */
    private static int[] examples(Batch batch) {
        int[] examples = new int[batch.rows() * batch.length()];
        for (Batch.Sequence sequence : batch.sequences()) {
            Arrays.fill(examples, sequence.start(), sequence.end(), sequence.example());
        }
        return examples;
    }
}
