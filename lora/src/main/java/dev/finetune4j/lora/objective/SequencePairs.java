package dev.finetune4j.lora.objective;

import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import java.util.List;
import java.util.Set;
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
     * @param policy (2N), or (4N) where prompts and answers are told apart
     * @param frozen the same of the reference; null for none
     */
    static SequencePairs of(Tensor policy, @Nullable Tensor frozen, Answers answers) {
        return new SequencePairs(side(policy, frozen, answers, 0), side(policy, frozen, answers, 1));
    }

    private static LogProbs side(Tensor policy, @Nullable Tensor frozen, Answers answers, int side) {
        // Where sequences are parted, the answers follow their prompts.
        int parts = Math.toIntExact(policy.numel() / answers.tokens().numel());
        int answer = parts * side + parts - 1;
        LogProbs.Prompts prompts = parts == 1
                ? null
                : new LogProbs.Prompts(
                        column(policy, 2 * parts, parts * side), column(answers.promptTokens(), 2, side));
        return new LogProbs(
                column(policy, 2 * parts, answer),
                frozen == null ? null : column(frozen, 2 * parts, answer),
                column(answers.tokens(), 2, side),
                prompts);
    }

    /** (columns · N) to (N). */
    static Tensor column(Tensor values, int columns, int column) {
        return values.view(-1, columns).select(1, column);
    }
}
