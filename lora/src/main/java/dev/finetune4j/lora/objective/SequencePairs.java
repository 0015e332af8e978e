package dev.finetune4j.lora.objective;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.SequenceLogProbs;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import java.util.List;
import java.util.Set;
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
    /**
     * Checks what the sequences of the examples are.
     *
     * @param first what the first of each example may be
     * @param second what the second has to be
     * @throws IllegalArgumentException if an example has others
     */
    static void require(Batch batch, Set<Kind> first, Kind second) {
        List<Batch.Sequence> sequences = batch.sequences();
        for (int i = 0; i < sequences.size(); i++) {
            Batch.Sequence sequence = sequences.get(i);
            Kind kind = sequence.tokens().kind();
            if (sequence.example() != i / 2 || (i % 2 == 0 ? !first.contains(kind) : kind != second)) {
                throw new IllegalArgumentException("sequence " + i + " of the batch is " + kind + " of example "
                        + sequence.example() + ", but each example has to be one of " + first + " and then " + second);
            }
        }
        if (sequences.size() % 2 != 0) {
            throw new IllegalArgumentException("the last example of the batch has no sequence that is " + second);
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
        List<Batch.Sequence> sequences = batch.host().sequences();
        int[] tokens = new int[sequences.size() / 2];
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = sequences.get(2 * i + side).tokens().targetTokens();
        }
        return new LogProbs(side(policy, side), frozen == null ? null : side(frozen, side), tokens);
    }

    /** (2N) to (N). */
    private static Tensor side(Tensor values, int side) {
        return values.view(-1, 2).select(1, side);
    }
}
