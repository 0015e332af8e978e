package dev.finetune4j.lora.objective;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.SequenceLogProbs;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** How models score the sequences of a batch. Stateless; results live in the caller's scope. */
final class Scores {
    private Scores() {}

    /** Those of the policy, for a backward pass that follows. */
    static SequenceLogProbs recorded(CausalLM policy, DeviceBatch batch) {
        return SequenceLogProbs.recorded(policy.hidden(batch.input()), head(policy), batch.targets());
    }

    /** Those of a model without gradients, (2N), or (4N) where prompts and answers are told apart. */
    static Tensor of(CausalLM model, DeviceBatch batch) {
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return scope.keep(SequenceLogProbs.of(model.hidden(batch.input()), head(model), batch.targets()));
        }
    }

    /** Those of the reference; null where there is none. */
    static @Nullable Tensor ofReference(@Nullable CausalLM reference, DeviceBatch batch) {
        return reference == null ? null : of(reference, batch);
    }

    private static SequenceLogProbs.Head head(CausalLM model) {
        return new SequenceLogProbs.Head(model::uncappedLogits, model.config().finalLogitSoftcapping());
    }
}
