package dev.finetune4j.lora.objective;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** The quantities that several of the losses are functions of. Results and temporaries live in the caller's scope. */
final class Margins {
    private Margins() {}

    /** @throws IllegalArgumentException when there is not one rejected answer for each chosen one */
    static void requirePairs(LogProbs chosen, LogProbs rejected) {
        if (chosen.policy().numel() != rejected.policy().numel()) {
            throw new IllegalArgumentException("there are " + chosen.policy().numel() + " chosen answers, but "
                    + rejected.policy().numel() + " rejected ones");
        }
    }

    /**
     * Log-ratio of policy and reference, (N).
     *
     * @throws IllegalArgumentException when reference log-probabilities are missing
     */
    static Tensor logRatio(LogProbs answers) {
        Tensor reference = answers.reference();
        if (reference == null) {
            throw new IllegalArgumentException(
                    "this loss compares with a reference model; compute the log-probabilities of the frozen model as well");
        }
        return answers.policy().sub(reference.detach());
    }

    /** How much more than the reference the policy prefers the chosen answers, (N). */
    static Tensor againstReference(LogProbs chosen, LogProbs rejected) {
        requirePairs(chosen, rejected);
        return logRatio(chosen).sub(logRatio(rejected));
    }

    /** The values divided by the number of tokens of their answers, (N). */
    static Tensor perToken(LogProbs answers, Tensor values) {
        return values.div(answers.tokens());
    }

    /** {@code -(1 - ε) log σ(x) - ε log σ(-x)}, (N). */
    static Tensor smoothed(Tensor logits, double epsilon) {
        Tensor losses = minusLogSigmoid(logits);
        return epsilon == 0
                ? losses
                : losses.mul(new Scalar(1 - epsilon))
                        .add(minusLogSigmoid(logits.neg()).mul(new Scalar(epsilon)));
    }

    static Tensor minusLogSigmoid(Tensor logits) {
        return torch.log_sigmoid(logits).neg();
    }
}
