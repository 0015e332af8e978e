package dev.finetune4j.lora.objective;

import dev.finetune4j.core.collective.Communicator;
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
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Kahneman-Tversky optimization: each answer stands in front of a mismatched one, its prompt with the answer of another, from which
 * the divergence of policy and reference is estimated. Its terms are the answers.
 *
 * @param loss of an answer
 * @param reference the frozen model with which the policy is compared, such as the base without the adapter
 * @param start what is known of the first step
 * @param ranks among which the answers of a micro-batch are shared out: the divergence is that of all of them
 * @param known as in {@link PreferenceObjective}
 */
public record KtoObjective(
        Kto loss,
        CausalLM reference,
        StartCheck start,
        Communicator ranks,
        @Nullable ReferenceScores known) implements ReferencedObjective {
    private static final List<String> METRICS = List.of("rewards/chosen", "rewards/rejected", "kl");

    /** One of whose start nothing is known, and which asks the reference each time. */
    public KtoObjective(Kto loss, CausalLM reference) {
        this(loss, reference, StartCheck.NONE, Communicator.alone(), null);
    }

    @Override
    public Optional<String> startProblem(Map<String, Double> metrics) {
        return start.problem(metrics, reference);
    }

    @Override
    public int terms(Batch batch) {
        return batch.examples();
    }

    @Override
    public DeviceBatch toDevice(CausalLM model, Batch batch, double scale, int multiple) {
        SequencePairs.require(batch, Set.of(Kind.DESIRABLE, Kind.UNDESIRABLE), Kind.MISMATCHED);
        return Scores.withReference(DeviceBatch.ofSequences(model, batch, scale, multiple), known);
    }

    @Override
    public Tensor forwardBackward(CausalLM model, DeviceBatch batch) {
        try (TensorScope scope = new TensorScope()) {
            // First, while there are no activations of the policy in memory.
            Tensor frozen = Scores.ofReference(reference, batch);
            SequenceLogProbs policy = Scores.recorded(model, batch);
            SequencePairs pairs = SequencePairs.of(policy.sums(), frozen, batch.requireAnswers());
            Tensor kl = Kto.klEstimate(pairs.second(), ranks::sum); // (1)
            Tensor losses = loss.losses(pairs.first(), desirable(batch), kl); // (N)
            losses.sum().mul(batch.scale()).backward();
            policy.backward();
            return scope.keep(sums(losses, pairs.first(), kl, batch));
        }
    }

    private Tensor sums(Tensor losses, LogProbs answers, Tensor kl, DeviceBatch batch) {
        try (TensorScope scope = new TensorScope()) {
            Tensor desirable = desirable(batch); // (N)
            Tensor rewards = loss.rewards(answers).detach();
            return scope.keep(new Sums(losses, batch.scale())
                    .mean(rewards, desirable)
                    .mean(rewards, desirable.neg().add(new Scalar(1.0)))
                    .mean(kl)
                    .toTensor());
        }
    }

    @Override
    public void skip(CausalLM model) {
        Kto.skipKlEstimate(model.placement().device(), ranks::sum);
    }

    @Override
    public boolean needsAllRanks() {
        return true;
    }

    /** 1 for each answer that was judged so, else 0, (N). */
    private static Tensor desirable(DeviceBatch batch) {
        return SequencePairs.column(batch.requireAnswers().desirable(), 2, 0);
    }

    @Override
    public boolean isCapturable() {
        return ranks.size() == 1;
    }

    @Override
    public double[] evaluate(CausalLM model, Batch batch) {
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                DeviceBatch onDevice = toDevice(model, batch, 1, 1)) {
            SequencePairs pairs = judged(model, onDevice);
            Tensor kl = Kto.klEstimate(pairs.second(), ranks::sum); // (1)
            Tensor losses = loss.losses(pairs.first(), desirable(onDevice), kl); // (N)
            return Sums.toArray(sums(losses, pairs.first(), kl, onDevice));
        }
    }

    @Override
    public List<String> metrics() {
        return METRICS;
    }
}
