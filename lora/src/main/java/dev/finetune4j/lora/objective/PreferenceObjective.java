package dev.finetune4j.lora.objective;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.SequenceLogProbs;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Preference optimization on pairs: each chosen answer stands in front of its rejected one, as sequences of their own behind the
 * same prompt. Its terms are the pairs.
 *
 * @param loss of a pair
 * @param reference the frozen model with which the policy is compared, such as the base without the adapter; null where the loss
 *     needs none
 * @param start what is known of the first step
 * @param known what the reference says of examples that come again; null to ask it each time. With it the objective belongs to one
 *     training
 */
public record PreferenceObjective(
        PairLoss loss,
        @Nullable CausalLM reference,
        StartCheck start,
        @Nullable ReferenceScores known) implements ReferencedObjective {
    private static final List<String> METRICS =
            List.of("rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins");

    /** @throws IllegalArgumentException if the loss needs a reference and there is none */
    public PreferenceObjective {
        if (loss.needsReference() && reference == null) {
            throw new IllegalArgumentException(
                    loss + " compares with a reference model; give the model without what is trained");
        }
    }

    /** One of whose start nothing is known, and which asks the reference each time. */
    public PreferenceObjective(PairLoss loss, @Nullable CausalLM reference) {
        this(loss, reference, StartCheck.NONE, null);
    }

    @Override
    public Optional<String> startProblem(Map<String, Double> metrics) {
        return reference == null ? Optional.empty() : start.problem(metrics, reference);
    }

    @Override
    public int terms(Batch batch) {
        return batch.examples();
    }

    @Override
    public DeviceBatch toDevice(CausalLM model, Batch batch, double scale, int multiple) {
        SequencePairs.require(batch, Set.of(Kind.CHOSEN), Kind.REJECTED);
        return loss.needsPrompts()
                ? DeviceBatch.ofPromptsAndAnswers(model, batch, scale, multiple)
                : Scores.withReference(DeviceBatch.ofSequences(model, batch, scale, multiple), known);
    }

    @Override
    public Tensor forwardBackward(CausalLM model, DeviceBatch batch) {
        try (TensorScope scope = new TensorScope()) {
            // First, while there are no activations of the policy in memory.
            Tensor frozen = Scores.ofReference(reference, batch);
            SequenceLogProbs policy = Scores.recorded(model, batch);
            SequencePairs pairs = SequencePairs.of(policy.sums(), frozen, batch.requireAnswers());
            Tensor losses = loss.losses(pairs.first(), pairs.second()); // (N)
            losses.sum().mul(batch.scale()).backward();
            policy.backward();
            return scope.keep(sums(losses, pairs, batch));
        }
    }

    private Tensor sums(Tensor losses, SequencePairs pairs, DeviceBatch batch) {
        try (TensorScope scope = new TensorScope()) {
            Tensor chosen = loss.rewards(pairs.first()).detach();
            Tensor rejected = loss.rewards(pairs.second()).detach();
            return scope.keep(new Sums(losses, batch.scale())
                    .mean(chosen)
                    .mean(rejected)
                    .mean(chosen.gt(rejected))
                    .mean(chosen.sub(rejected))
                    .toTensor());
        }
    }

    @Override
    public boolean isCapturable() {
        return true;
    }

    @Override
    public double[] evaluate(CausalLM model, Batch batch) {
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                DeviceBatch onDevice = toDevice(model, batch, 1, 1)) {
            SequencePairs pairs = judged(model, onDevice);
            return Sums.toArray(sums(loss.losses(pairs.first(), pairs.second()), pairs, onDevice));
        }
    }

    @Override
    public List<String> metrics() {
        return METRICS;
    }
}
