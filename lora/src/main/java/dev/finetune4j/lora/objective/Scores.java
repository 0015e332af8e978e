package dev.finetune4j.lora.objective;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.SequenceLogProbs;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
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

    /** Those of the reference, asked unless they are known; null where there is none. */
    static @Nullable Tensor ofReference(@Nullable CausalLM reference, DeviceBatch batch) {
        if (reference == null) {
            return null;
        }
        DeviceBatch.Reference wanted = batch.reference();
        if (wanted == null) {
            return of(reference, batch);
        }
        if (!wanted.known()) {
            try (TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                wanted.scores().copy_(of(reference, batch));
            }
        }
        return wanted.scores();
    }

    /** A batch with what is known of it, or room for what its pass finds. */
    static DeviceBatch withReference(DeviceBatch batch, @Nullable ReferenceScores known) {
        if (known == null) {
            return batch;
        }
        float[] scores = known.of(batch.host());
        try (TensorScope scope = new TensorScope()) {
            Tensor tensor = Tensors.ofFloats(Tensors.deviceOf(batch.scale()), scores, scores.length);
            return batch.with(new DeviceBatch.Reference(scope.release(tensor), ReferenceScores.isKnown(scores)));
        } catch (RuntimeException | Error e) {
            batch.close();
            throw e;
        }
    }

    /** Remembers what a pass has found. */
    static void remember(DeviceBatch batch, @Nullable ReferenceScores known) {
        DeviceBatch.Reference reference = batch.reference();
        if (known != null && reference != null && !reference.known()) {
            known.remember(batch.host(), reference.scores());
        }
    }

    private static SequenceLogProbs.Head head(CausalLM model) {
        return new SequenceLogProbs.Head(model::uncappedLogits, model.config().finalLogitSoftcapping());
    }
}
