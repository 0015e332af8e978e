package dev.finetune4j.core.inference;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/**
 * The prompts of several texts in one ordinary pass, side by side from their first token on, shorter ones padded behind their end:
 * a GPU takes for it hardly longer than the host takes to ask for the pass of one.
 */
final class JointPrefill implements AutoCloseable {
    private final KvCache together;
    private final float[] logits;
    private final List<int[]> prompts;

    private JointPrefill(KvCache together, float[] logits, List<int[]> prompts) {
        this.together = together;
        this.logits = logits;
        this.prompts = prompts;
    }

    /**
     * Which texts a pass can take with the first one.
     *
     * @param first has more than its last token to be computed
     * @param running in order, the first among them
     * @param limit of tokens in all, padding included
     * @return at least the first
     */
    static List<BatchedText> choose(BatchedText first, List<BatchedText> running, int limit) {
        List<BatchedText> chosen = new ArrayList<>(List.of(first));
        if (!first.isUntouched()) {
            return chosen;
        }
        int longest = first.pending();
        for (BatchedText text : running) {
            if (text != first && text.model() == first.model() && text.isUntouched() && text.pending() > 1) {
                int with = Math.max(longest, text.pending());
                if ((chosen.size() + 1L) * with <= limit && hasFixedAngles(text.model(), with)) {
                    chosen.add(text);
                    longest = with;
                }
            }
        }
        return chosen;
    }

    /** Whether a token is turned alike in all texts of up to that many. */
    private static boolean hasFixedAngles(CausalLM model, int length) {
        for (int layer = 0; layer < model.blocks().size(); layer++) {
            if (!model.rotary(layer).isFixedUpTo(length)) {
                return false;
            }
        }
        return true;
    }

    /**
     * Computes whole prompts.
     *
     * @param by what computes
     * @param prompts at least one token each
     * @return what each text takes for itself, so that one whose memory gets closed meanwhile fails alone; closed by the caller
     */
    static JointPrefill of(CausalLM by, List<int[]> prompts) {
        int count = prompts.size();
        int longest = prompts.stream().mapToInt(prompt -> prompt.length).max().orElseThrow();
        long[] padded = new long[count * longest];
        for (int i = 0; i < count; i++) {
            int[] prompt = prompts.get(i);
            for (int k = 0; k < prompt.length; k++) {
                padded[i * longest + k] = prompt[k];
            }
        }
        KvCache together = by.newCache();
        try (Lifetime.Use use = by.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor hidden = by.hidden(ModelInput.cached(by.tokens(padded, count, longest), together)); // (B, T, D)
            TensorVector ends = new TensorVector();
            for (int i = 0; i < count; i++) {
                ends.push_back(hidden.narrow(0, i, 1).narrow(1, prompts.get(i).length - 1L, 1));
            }
            return new JointPrefill(together, Tensors.toFloats(by.logits(torch.cat(ends, 0))), prompts); // (B, 1, V)
        } catch (RuntimeException | Error e) {
            together.close();
            throw e;
        }
    }

    /**
     * Gives a text what the model remembers of its prompt.
     *
     * @param memory empty, with room for the prompt
     * @return the logits of the token after it, (V)
     */
    float[] giveTo(KvCache memory, int index) {
        memory.take(together, index, prompts.get(index).length);
        int width = logits.length / prompts.size();
        return Arrays.copyOfRange(logits, index * width, (index + 1) * width);
    }

    @Override
    public void close() {
        together.close();
    }
}
