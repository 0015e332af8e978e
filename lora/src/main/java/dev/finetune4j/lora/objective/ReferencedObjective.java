package dev.finetune4j.lora.objective;

import dev.finetune4j.core.model.CausalLM;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** An objective that compares with a reference, whose scores it may remember for examples that come again. */
sealed interface ReferencedObjective extends Objective permits KtoObjective, PreferenceObjective {
    /** The frozen model with which the policy is compared; null where the loss needs none. */
    @Nullable
    CausalLM reference();

    /** What the reference says of examples that come again; null to ask it each time. */
    @Nullable
    ReferenceScores known();

    @Override
    default void passed(DeviceBatch batch) {
        Scores.remember(batch, known());
    }

    @Override
    default Map<String, Tensor> findings() {
        return ReferenceScores.findings(known());
    }

    @Override
    default void restore(Map<String, Tensor> findings) {
        ReferenceScores.restore(known(), findings);
    }

    /** The scores of policy and reference without gradients; they live in the caller's scope. */
    default SequencePairs judged(CausalLM policy, DeviceBatch batch) {
        SequencePairs pairs = SequencePairs.of(
                Scores.of(policy, batch), Scores.ofReference(reference(), batch), batch.requireAnswers());
        passed(batch);
        return pairs;
    }
}
