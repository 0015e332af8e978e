package dev.finetune4j.lora.objective;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.SequenceLogProbs;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * Kahneman-Tversky optimization: each answer stands in front of a mismatched one, its prompt with the answer of another, from which
 * the divergence of policy and reference is estimated. Its terms are the answers.
 *
 * @param loss of an answer
 * @param reference the frozen model with which the policy is compared, such as the base without the adapter
 * @param start what is known of the first step
 */
public record KtoObjective(Kto loss, CausalLM reference, StartCheck start) implements Objective {
    private static final List<String> METRICS = List.of("rewards/chosen", "rewards/rejected", "kl");

    /** One of whose start nothing is known. */
    public KtoObjective(Kto loss, CausalLM reference) {
        this(loss, reference, StartCheck.NONE);
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
        return DeviceBatch.ofSequences(model, batch, scale, multiple);
    }

    @Override
    public Tensor forwardBackward(CausalLM model, DeviceBatch batch) {
        try (TensorScope scope = new TensorScope()) {
            Tensor hidden = model.hidden(batch.input()); // (B, T, D)
            Targets targets = batch.targets();
            Tensor policy = SequenceLogProbs.of(hidden, model::logits, targets).set_requires_grad(true); // (2N)
            SequencePairs pairs = SequencePairs.of(policy, reference, batch);
            boolean[] judgements = desirable(batch.host());
            Tensor kl = Kto.klEstimate(pairs.second()); // (1)
            Tensor losses = loss.losses(pairs.first(), judgements, kl); // (N)
            losses.sum().mul(batch.scale()).backward();
            SequenceLogProbs.backward(hidden, model::logits, targets, policy.grad());
            Tensor rewards = loss.rewards(pairs.first()).detach();
            return scope.keep(new Sums(losses, batch.scale())
                    .mean(rewards, mask(judgements, true, rewards))
                    .mean(rewards, mask(judgements, false, rewards))
                    .mean(kl)
                    .toTensor());
        }
    }

    /** Whether each answer was desirable. */
    private static boolean[] desirable(Batch batch) {
        boolean[] judgements = new boolean[batch.examples()];
        for (int i = 0; i < judgements.length; i++) {
            judgements[i] = batch.sequences().get(2 * i).tokens().kind() == Kind.DESIRABLE;
        }
        return judgements;
    }

    /** 1 for each answer that was judged so, (N). */
    private static Tensor mask(boolean[] judgements, boolean wanted, Tensor like) {
        float[] mask = new float[judgements.length];
        for (int i = 0; i < mask.length; i++) {
            mask[i] = judgements[i] == wanted ? 1 : 0;
        }
        return Tensors.ofFloats(Tensors.deviceOf(like), mask, mask.length);
    }

    @Override
    public double loss(CausalLM model, Batch batch) {
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                DeviceBatch onDevice = toDevice(model, batch, 1, 1)) {
            Tensor policy =
                    SequenceLogProbs.of(model.hidden(onDevice.input()), model::logits, onDevice.targets()); // (2N)
            SequencePairs pairs = SequencePairs.of(policy, reference, onDevice);
            return loss.losses(pairs.first(), desirable(batch), Kto.klEstimate(pairs.second()))
                    .sum()
                    .item_double();
        }
    }

    @Override
    public List<String> metrics() {
        return METRICS;
    }
}
