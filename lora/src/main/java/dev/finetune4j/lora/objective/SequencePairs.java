package dev.finetune4j.lora.objective;

import dev.finetune4j.core.Labels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.SequenceLogProbs;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.data.batch.Batch;
import java.util.Arrays;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The log-probabilities of 2N sequences that stand in pairs. Results live in the caller's scope.
 *
 * @param first of each pair, (N)
 * @param second of each pair, (N)
 */
record SequencePairs(LogProbs first, LogProbs second) {
    /** @throws IllegalArgumentException if the rows of a batch do not stand in pairs */
    static void require(Batch batch) {
        if (batch.rows() % 2 != 0) {
            throw new IllegalArgumentException("a batch of " + batch.rows()
                    + " sequences does not consist of pairs; give micro-batches an even number of rows");
        }
    }

    /**
     * Joins what policy and reference say of a batch.
     *
     * @param policy (2N)
     * @param reference model that is asked without gradients; null for none
     */
    static SequencePairs of(Tensor policy, @Nullable CausalLM reference, DeviceBatch batch) {
        @Nullable Tensor frozen = reference == null ? null : ofReference(reference, batch);
        return new SequencePairs(side(policy, frozen, batch, 0), side(policy, frozen, batch, 1));
    }

    private static Tensor ofReference(CausalLM reference, DeviceBatch batch) {
        try (Lifetime.Use use = reference.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return scope.keep(SequenceLogProbs.of(reference.hidden(batch.input()), reference::logits, batch.targets()));
        }
    }

    private static LogProbs side(Tensor policy, @Nullable Tensor frozen, DeviceBatch batch, int side) {
        Batch host = batch.host();
        int[] tokens = new int[host.rows() / 2];
        for (int i = 0; i < tokens.length; i++) {
            int start = (2 * i + side) * host.length();
            tokens[i] = (int) Arrays.stream(host.labels(), start, start + host.length())
                    .filter(label -> label != Labels.IGNORE)
                    .count();
        }
        return new LogProbs(side(policy, side), frozen == null ? null : side(frozen, side), tokens);
    }

    /** (2N) to (N). */
    private static Tensor side(Tensor values, int side) {
        return values.view(-1, 2).select(1, side);
    }
}
