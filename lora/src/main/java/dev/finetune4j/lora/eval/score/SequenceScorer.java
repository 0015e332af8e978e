package dev.finetune4j.lora.eval.score;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.inference.TextScores;
import dev.finetune4j.core.model.CausalLM;
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
import java.util.List;

/** Log-probabilities of examples, as a training would learn them. Thread-safe; it borrows the model and the encoder. */
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
        List<TextScores.Text> texts = encoded.stream()
                .flatMap(List::stream)
                .map(sequence -> new TextScores.Text(sequence.inputIds(), sequence.labels()))
                .toList();
        if (Thread.currentThread().isInterrupted()) {
            throw new FineTune4jException(
                    "the thread was interrupted, so nothing is scored; run it again in a thread that is not interrupted");
        }
        List<float[]> scores = TextScores.of(model, texts, tokensAtOnce);
        List<List<TokenLogprob>> joined = new ArrayList<>();
        int next = 0;
        for (List<EncodedSequence> pieces : encoded) {
            List<TokenLogprob> tokens = new ArrayList<>();
            for (EncodedSequence piece : pieces) {
                add(tokens, piece, scores.get(next++));
            }
            joined.add(tokens);
        }
        return joined;
    }

    private void add(List<TokenLogprob> tokens, EncodedSequence sequence, float... scores) {
        int next = 0;
        for (int label : sequence.labels()) {
            if (label != Labels.IGNORE) {
                String text = encoder.tokenizer().decode(new int[] {label});
                tokens.add(new TokenLogprob(label, text, scores[next++], List.of()));
            }
        }
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
}
