package dev.finetune4j.core.inference;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.ChunkedHead;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * How likely a model holds given tokens: texts of nearly the same length go through it together, and of the logits no more are in memory
 * than those of one chunk. Stateless.
 */
public final class TextScores {
    private TextScores() {}

    /**
     * A text of which some tokens are scored.
     *
     * @param ids its tokens, at least one
     * @param labels the token that follows each, where that is scored; {@link Labels#IGNORE} elsewhere
     */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    public record Text(int[] ids, int[] labels) {
        /** How many tokens are scored. */
        int targets() {
            return (int) Arrays.stream(labels)
                    .filter(label -> label != Labels.IGNORE)
                    .count();
        }
    }

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
        if (ids.length == 1) {
            return new float[0];
        }
        int[] labels = Arrays.copyOf(Arrays.copyOfRange(ids, 1, ids.length), ids.length);
        labels[ids.length - 1] = Labels.IGNORE;
        return of(model, List.of(new Text(ids, labels)), ids.length).get(0);
    }

    /**
     * The logarithms of the probabilities of the scored tokens of each text, given those before them.
     *
     * @param tokensAtOnce how many tokens are computed together; a longer text alone
     * @throws FineTune4jException when the thread is interrupted between two passes; the flag stays set
     * @throws IllegalStateException if the model or its adapter is closed
     */
    public static List<float[]> of(CausalLM model, List<Text> texts, long tokensAtOnce) {
        List<Integer> byLength = IntStream.range(0, texts.size())
                .boxed()
                .sorted(Comparator.comparingInt(i -> texts.get(i).ids().length))
                .toList();
        List<float[]> scores = new ArrayList<>(Collections.nCopies(texts.size(), new float[0]));
        int start = 0;
        while (start < byLength.size()) {
            int end = start + 1;
            while (end < byLength.size()
                    && (long) (end - start + 1) * texts.get(byLength.get(end)).ids().length <= tokensAtOnce) {
                end++;
            }
            if (start > 0 && Thread.currentThread().isInterrupted()) {
                throw new FineTune4jException("the thread was interrupted after " + start + " of " + byLength.size()
                        + " texts were scored; run it again in a thread that is not interrupted");
            }
            List<Integer> chosen = byLength.subList(start, end);
            List<float[]> found =
                    together(model, chosen.stream().map(texts::get).toList());
            for (int i = 0; i < chosen.size(); i++) {
                scores.set(chosen.get(i), found.get(i));
            }
            start = end;
        }
        return scores;
    }

    /** @param texts the longest is the last */
    private static List<float[]> together(CausalLM model, List<Text> texts) {
        int length = texts.get(texts.size() - 1).ids().length; // T
        long[] ids = new long[texts.size() * length];
        long[] labels = new long[ids.length];
        Arrays.fill(labels, Labels.IGNORE);
        for (int row = 0; row < texts.size(); row++) {
            Text text = texts.get(row);
            for (int t = 0; t < text.ids().length; t++) {
                ids[row * length + t] = text.ids()[t];
                labels[row * length + t] = text.labels()[t];
            }
        }
        long[] lengths = texts.stream().mapToLong(text -> text.ids().length).toArray();
        float[] all = scores(model, ids, labels, lengths);
        List<float[]> scores = new ArrayList<>();
        int next = 0;
        for (Text text : texts) {
            int end = next + text.targets();
            scores.add(Arrays.copyOfRange(all, next, end));
            next = end;
        }
        return scores;
    }

    /** The scores of all labels, row by row, of which each has one of the lengths. */
    private static float[] scores(CausalLM model, long[] ids, long[] labels, long[] lengths) {
        int rows = lengths.length;
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                Targets targets = Targets.of(model.placement().device(), labels, 1)) {
            Tensor hidden =
                    model.hidden(ModelInput.padded(model.tokens(ids, rows, ids.length / rows), lengths)); // (B, T, D)
            double cap = model.config().finalLogitSoftcapping();
            float[] scores = new float[targets.count()];
            new ChunkedHead(model::uncappedLogits).forward(hidden, targets, (logits, chunk) -> {
                float[] losses =
                        Tensors.toFloats(DeviceKernels.of(logits).loss().crossEntropy(logits, chunk.ids(), cap)); // (n)
                for (int i = 0; i < losses.length; i++) {
                    scores[chunk.start() + i] = -losses[i];
                }
            });
            return scores;
        } catch (RuntimeException e) {
            throw MemoryErrors.typed(e, model.placement().device(), "scoring " + ids.length + " tokens");
        }
    }
}
