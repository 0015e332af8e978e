package dev.finetune4j.lora.eval.score;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.ChunkedHead;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.data.batch.SftEncoder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * Log-probabilities of given tokens: sequences of nearly the same length go through the model together, and of the logits no more are in
 * memory than those of one chunk. Thread-safe; it borrows the model and the encoder.
 */
public final class SequenceScorer {
    /** Enough to keep a device busy, and little beside the weights. */
    public static final int USUAL_TOKENS = 4096;

    private final CausalLM model;
    private final ChatEncoder encoder;
    private final long tokensAtOnce;

    /** @param tokensAtOnce how many tokens are computed together; a longer sequence alone */
    public SequenceScorer(CausalLM model, ChatEncoder encoder, long tokensAtOnce) {
        this.model = model;
        this.encoder = encoder;
        this.tokensAtOnce = tokensAtOnce;
    }

    /** See {@link dev.finetune4j.lora.eval.EvaluableModel#score(List)}. */
    public List<List<TokenLogprob>> score(List<? extends Example> examples) {
        List<List<EncodedSequence>> encoded = encode(examples);
        List<EncodedSequence> sequences = encoded.stream().flatMap(List::stream).toList();
        List<List<TokenLogprob>> scores = scoreSequences(sequences);
        List<List<TokenLogprob>> joined = new ArrayList<>();
        int next = 0;
        for (List<EncodedSequence> pieces : encoded) {
            List<TokenLogprob> all = new ArrayList<>();
            for (int i = 0; i < pieces.size(); i++) {
                all.addAll(scores.get(next++));
            }
            joined.add(all);
        }
        return joined;
    }

    private List<List<EncodedSequence>> encode(List<? extends Example> examples) {
        for (int i = 0; i < examples.size(); i++) {
            Example example = examples.get(i);
            if (!(example instanceof SftExample || example instanceof TextExample)) {
                throw new IllegalArgumentException("score(examples[" + i + "]) is " + example.kind()
                        + "; conversations that end with an answer, and texts, have log-probabilities");
            }
        }
        SftEncoder sft = new SftEncoder(encoder, model.config().maxPositions(), Truncation.FAIL);
        if (examples.stream().allMatch(SftExample.class::isInstance)) {
            return examples.isEmpty()
                    ? List.of()
                    : sft.encode(Dataset.of(examples)).examples().stream()
                            .map(EncodedExample::sequences)
                            .toList();
        }
        // A text may become several sequences, so each has to be encoded by itself.
        return examples.stream()
                .map(example -> sft.encode(Dataset.of(List.of(example))).examples().stream()
                        .flatMap(piece -> piece.sequences().stream())
                        .toList())
                .toList();
    }

    private List<List<TokenLogprob>> scoreSequences(List<EncodedSequence> sequences) {
        List<Integer> byLength = IntStream.range(0, sequences.size())
                .boxed()
                .sorted(Comparator.comparingInt(i -> sequences.get(i).length()))
                .toList();
        List<List<TokenLogprob>> scores = new ArrayList<>();
        sequences.forEach(sequence -> scores.add(List.of()));
        int start = 0;
        while (start < byLength.size()) {
            int end = start + 1;
            while (end < byLength.size()
                    && (long) (end - start + 1)
                                    * sequences.get(byLength.get(end)).length()
                            <= tokensAtOnce) {
                end++;
            }
            if (Thread.currentThread().isInterrupted()) {
                throw new FineTune4jException("the thread was interrupted after " + start + " of " + byLength.size()
                        + " sequences were scored; run it again in a thread that is not interrupted");
            }
            List<Integer> chosen = byLength.subList(start, end);
            List<List<TokenLogprob>> found =
                    pass(chosen.stream().map(sequences::get).toList());
            for (int i = 0; i < chosen.size(); i++) {
                scores.set(chosen.get(i), found.get(i));
            }
            start = end;
        }
        return scores;
    }

    private List<List<TokenLogprob>> pass(List<EncodedSequence> rows) {
        int length = rows.get(rows.size() - 1).length(); // T
        long[] ids = new long[rows.size() * length];
        long[] labels = new long[ids.length];
        Arrays.fill(labels, Labels.IGNORE);
        for (int row = 0; row < rows.size(); row++) {
            EncodedSequence sequence = rows.get(row);
            for (int t = 0; t < sequence.length(); t++) {
                ids[row * length + t] = sequence.inputIds()[t];
                labels[row * length + t] = sequence.labels()[t];
            }
        }
        float[] losses = losses(ids, labels, rows.size(), length);
        List<List<TokenLogprob>> scores = new ArrayList<>();
        int next = 0;
        for (EncodedSequence sequence : rows) {
            List<TokenLogprob> tokens = new ArrayList<>();
            for (int label : sequence.labels()) {
                if (label != Labels.IGNORE) {
                    tokens.add(new TokenLogprob(
                            label, encoder.tokenizer().decode(new int[] {label}), -losses[next++], List.of()));
                }
            }
            scores.add(tokens);
        }
        return scores;
    }

    /** The negative log-probability of each label, row by row. */
    private float[] losses(long[] ids, long[] labels, int rows, int length) {
        try (Lifetime.Use use = model.use();
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                Targets targets = Targets.of(model.placement().device(), labels, 1)) {
            Tensor hidden = model.hidden(ModelInput.padded(model.tokens(ids, rows, length))); // (B, T, D)
            double cap = model.config().finalLogitSoftcapping();
            float[] losses = new float[targets.count()];
            new ChunkedHead(model::uncappedLogits).forward(hidden, targets, (logits, chunk) -> {
                float[] found =
                        Tensors.toFloats(DeviceKernels.of(logits).loss().crossEntropy(logits, chunk.ids(), cap)); // (n)
                System.arraycopy(found, 0, losses, chunk.start(), found.length);
            });
            return losses;
        } catch (RuntimeException e) {
            throw MemoryErrors.typed(
                    e, model.placement().device(), "scoring " + rows + " sequences of " + length + " tokens");
        }
    }
}
