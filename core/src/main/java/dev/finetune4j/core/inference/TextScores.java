package dev.finetune4j.core.inference;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** How likely a model holds the tokens of a given text: one forward pass, the head by chunks of positions. Stateless. */
final class TextScores {
    /** Logits that are computed at a time. */
    private static final long CHUNK = 1 << 23;

    private TextScores() {}

    /**
     * The logarithm of the probability of each token but the first, given those before it.
     *
     * @param ids at least one
     * @return one less than there are ids
     * @throws FineTune4jException when there are more than the model's context holds
     * @throws IllegalStateException if the model or its adapter is closed
     */
    static float[] of(CausalLM model, int[] ids) {
        if (ids.length > model.contextLength()) {
            throw new FineTune4jException("the text has " + ids.length + " tokens, but the model was made for "
                    + model.contextLength() + "; shorten it");
        }
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return scores(model, Arrays.stream(ids).asLongStream().toArray());
        } catch (RuntimeException e) {
            throw MemoryErrors.typed(e, model.placement().device(), "scoring " + ids.length + " tokens");
        }
    }

    private static float[] scores(CausalLM model, long[] ids) {
        int targets = ids.length - 1;
        float[] scores = new float[targets];
        if (targets == 0) {
            return scores;
        }
        Tensor hidden = model.hidden(ModelInput.padded(model.tokens(ids, 1, ids.length))); // (1, T, D)
        int rows = (int) Math.max(1, CHUNK / model.config().vocabSize());
        for (int from = 0; from < targets; from += rows) {
            int count = Math.min(rows, targets - from);
            try (TensorScope scope = new TensorScope()) {
                Tensor logits = Tensors.as(model.logits(hidden.narrow(1, from, count)), ScalarType.Float); // (1, n, V)
                Tensor next = model.tokens(Arrays.copyOfRange(ids, from + 1, from + 1 + count), 1, count)
                        .unsqueeze(2);
                float[] some = Tensors.toFloats(logits.log_softmax(2).gather(2, next));
                System.arraycopy(some, 0, scores, from, count);
            }
        }
        return scores;
    }
}
