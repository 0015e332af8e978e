package dev.finetune4j.lora.eval;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.lora.eval.metric.Bleu;
import dev.finetune4j.lora.eval.metric.Rouge;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.BiPredicate;
import java.util.function.Predicate;
import java.util.function.ToDoubleBiFunction;
import java.util.regex.Pattern;

/**
 * A rule that judges an answer by references. Of several references the one that suits best counts. Immutable and thread-safe, as
 * far as given functions are.
 */
public final class AnswerMetric {
    private static final double PERCENT = 100;

    private final Metric metric;
    private final boolean compares;
    private final Counting counting;

    /** What an item adds to the sums that {@link Metric#figure} takes. */
    @FunctionalInterface
    private interface Counting {
        double[] of(String answer, List<String> references);
    }

    /** @param compares whether it needs a reference */
    private AnswerMetric(Metric metric, boolean compares, Counting counting) {
        this.metric = metric;
        this.compares = compares;
        this.counting = counting;
    }

    /** Right if the answer is a reference, white space at the ends apart. */
    public static AnswerMetric exactMatch() {
        return comparing(
                "exact match",
                (answer, references) -> references.stream()
                        .anyMatch(reference -> reference.strip().equals(answer.strip())));
    }

    /** Right if a reference stands in the answer, in capitals or not. */
    public static AnswerMetric contains() {
        return comparing("contains", (answer, references) -> {
            String lower = answer.toLowerCase(Locale.ROOT);
            return references.stream().anyMatch(reference -> lower.contains(reference.toLowerCase(Locale.ROOT)));
        });
    }

    /** Right if a reference, a {@linkplain Pattern regular expression}, is found in the answer. */
    public static AnswerMetric regex() {
        return comparing(
                "regex",
                (answer, references) -> references.stream()
                        .anyMatch(reference ->
                                Pattern.compile(reference).matcher(answer).find()));
    }

    /** Right if this holds, whatever the references are. */
    public static AnswerMetric rule(Predicate<String> correct) {
        Arguments.given(correct, "rule(correct)");
        return rule("rule", (answer, references) -> correct.test(answer));
    }

    /**
     * Right if this holds of answer and references.
     *
     * @param name for reports
     */
    public static AnswerMetric rule(String name, BiPredicate<String, List<String>> correct) {
        return rule(name, false, Arguments.given(correct, "rule(correct)"));
    }

    private static AnswerMetric comparing(String name, BiPredicate<String, List<String>> correct) {
        return rule(name, true, correct);
    }

    private static AnswerMetric rule(String name, boolean compares, BiPredicate<String, List<String>> correct) {
        return new AnswerMetric(new Metric(name, Metric.Kind.ACCURACY), compares, (answer, references) ->
                new double[] {correct.test(answer, references) ? 1 : 0, 1});
    }

    /**
     * A score of your own.
     *
     * @param name for reports
     * @param score of answer and references, 0 to 1; its mean is reported times 100
     */
    public static AnswerMetric score(String name, ToDoubleBiFunction<String, List<String>> score) {
        return score(name, false, Arguments.given(score, "score(score)"));
    }

    private static AnswerMetric score(String name, boolean compares, ToDoubleBiFunction<String, List<String>> score) {
        return new AnswerMetric(new Metric(name, Metric.Kind.SCORE), compares, (answer, references) ->
                new double[] {PERCENT * score.applyAsDouble(answer, references), 1});
    }

    /**
     * BLEU of all answers together, equal to sacrebleu's {@code corpus_bleu} with the tokenization of the segmenter.
     *
     * @param segmenter {@link Segmenter#mteval13a} by default of sacrebleu, {@link Segmenter#mtevalChinese} for Chinese
     */
    public static AnswerMetric bleu(Segmenter segmenter) {
        return new AnswerMetric(
                new Metric(
                        "bleu (" + Arguments.given(segmenter, "bleu(segmenter)").name() + ")", Metric.Kind.BLEU),
                true,
                (answer, references) -> Bleu.counts(
                        segmenter.tokens(answer),
                        references.stream().map(segmenter::tokens).toList()));
    }

    /**
     * The mean over answers of BLEU-4 by character, white space included, with nltk's smoothing method 3: what LLaMA-Factory calls {@code
     * bleu-4}.
     */
    public static AnswerMetric bleu4() {
        return score(
                "bleu-4 (every character)",
                true,
                (answer, references) -> Bleu.method3(Bleu.counts(
                        codePoints(answer),
                        references.stream().map(AnswerMetric::codePoints).toList())));
    }

    /** The mean F1 of single tokens that answer and reference share. */
    public static AnswerMetric rouge1(Segmenter segmenter) {
        return rouge("rouge-1", segmenter, (answer, reference) -> Rouge.ngrams(1, answer, reference));
    }

    /** The mean F1 of pairs of tokens that answer and reference share. */
    public static AnswerMetric rouge2(Segmenter segmenter) {
        return rouge("rouge-2", segmenter, (answer, reference) -> Rouge.ngrams(2, answer, reference));
    }

    /** The mean F1 of the longest common subsequence of answer and reference. */
    public static AnswerMetric rougeL(Segmenter segmenter) {
        return rouge("rouge-l", segmenter, Rouge::longestCommonSubsequence);
    }

    @FunctionalInterface
    private interface Overlapping {
        Rouge.Overlap of(List<String> answer, List<String> reference);
    }

    private static AnswerMetric rouge(String name, Segmenter segmenter, Overlapping overlapping) {
        String full =
                name + " (" + Arguments.given(segmenter, name + "(segmenter)").name() + ")";
        return score(full, true, (answer, references) -> {
            List<String> tokens = segmenter.tokens(answer);
            return references.stream()
                    .mapToDouble(reference ->
                            overlapping.of(tokens, segmenter.tokens(reference)).f1())
                    .max()
                    .orElse(0);
        });
    }

    private static List<String> codePoints(String text) {
        return text.codePoints().mapToObj(Character::toString).toList();
    }

    /** What its figures say. */
    public Metric metric() {
        return metric;
    }

    /**
     * The figure of one answer: 1 or 0 for right or wrong, else 0 to 100.
     *
     * @throws IllegalArgumentException without a reference where the rule compares with them
     */
    public double of(String answer, String... references) {
        return metric.ofOne(counts(Arguments.given(answer, "of(answer)"), List.of(references)));
    }

    double[] counts(String answer, List<String> references) {
        requireReferences(references);
        return counting.of(answer, references);
    }

    /** @throws IllegalArgumentException without a reference where the rule compares with them */
    void requireReferences(List<String> references) {
        if (compares && references.isEmpty()) {
            throw new IllegalArgumentException(
                    "the metric " + metric.name() + " compares an answer with references; give at least one");
        }
    }

    /**
     * Judges answers that are there already, of whatever model.
     *
     * @param name of what is evaluated
     * @param answers one per list of references
     * @throws IllegalArgumentException when the lists differ in length, or are empty
     */
    public EvalResult judge(String name, List<String> answers, List<List<String>> references) {
        if (answers.size() != references.size()) {
            throw new IllegalArgumentException("judge(…) got " + answers.size() + " answers and references for "
                    + references.size() + "; give each answer its own");
        }
        List<EvalResult.Item> items = new ArrayList<>();
        for (int i = 0; i < answers.size(); i++) {
            items.add(EvalResult.Item.of(
                    metric, "", references.get(i), answers.get(i), counts(answers.get(i), references.get(i))));
        }
        return new EvalResult(name, metric, items);
    }
}
