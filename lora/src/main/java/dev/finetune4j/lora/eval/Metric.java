package dev.finetune4j.lora.eval;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.lora.eval.metric.Bleu;

/**
 * What a figure says.
 *
 * @param name such as {@code contains} or {@code rouge-l (characters)}
 * @param kind how it comes about from those of single items
 */
public record Metric(String name, Kind kind) {
    /** How the figure of many items comes about. */
    public enum Kind {
        /** Share of items that are right, 0 to 1. */
        ACCURACY,
        /** Mean of the items' scores, 0 to 100. */
        SCORE,
        /** BLEU of all items together, 0 to 100. */
        BLEU,
        /** e to the mean negative log-probability of the tokens of all items; the lower the better. */
        PERPLEXITY
    }

    public Metric {
        Arguments.given(name, "Metric(name)");
        Arguments.given(kind, "Metric(kind)");
    }

    /** Whether more is better. */
    public boolean higherIsBetter() {
        return kind != Kind.PERPLEXITY;
    }

    /** The figure of items whose counts have these sums. */
    double figure(double... sums) {
        return switch (kind) {
            case ACCURACY, SCORE -> sums[0] / sums[1];
            case BLEU -> Bleu.corpus(sums);
            case PERPLEXITY -> Math.exp(sums[0] / sums[1]);
        };
    }

    /** What a test compares: the figure, but of a perplexity its logarithm, of which single items do not outweigh all others. */
    double compared(double... sums) {
        return kind == Kind.PERPLEXITY ? sums[0] / sums[1] : figure(sums);
    }

    /** The figure of one item, with which it is shown. */
    double ofOne(double... counts) {
        return kind == Kind.BLEU ? Bleu.sentence(counts) : figure(counts);
    }
}
