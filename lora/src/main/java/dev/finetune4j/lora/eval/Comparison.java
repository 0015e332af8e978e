package dev.finetune4j.lora.eval;

import dev.finetune4j.lora.eval.EvalResult.Interval;
import dev.finetune4j.lora.eval.statistics.Bootstrap;
import dev.finetune4j.lora.eval.statistics.Proportion;
import java.util.Optional;

/**
 * What two models came to in one task. Immutable.
 *
 * @param role why it was measured
 * @param base the model as it was
 * @param tuned the model that was trained
 * @param baseInterval how sure the figure of the base is
 * @param tunedInterval how sure that of the tuned model is
 * @param test whether the difference may be chance
 */
public record Comparison(
        Role role, EvalResult base, EvalResult tuned, Interval baseInterval, Interval tunedInterval, Test test) {
    /** Why a task is measured. */
    public enum Role {
        /** What was to be learned, in phrasings that are not in the training data. */
        TASK,
        /** The same in phrasings of the training data. */
        TRAINED,
        /** What the model could before. */
        GENERAL,
        /** For itself. */
        OTHER
    }

    /**
     * A two-sided test of the two results, item by item.
     *
     * @param method how it was made
     * @param better items that the tuned model does better
     * @param worse items that it does worse
     * @param pValue how likely a difference so far from 0 is by chance alone; below 0.05 it is called significant
     */
    public record Test(Method method, int better, int worse, double pValue) {
        /** How a test is made. */
        public enum Method {
            /** McNemar's exact test, of shares. */
            MCNEMAR,
            /** The paired bootstrap. */
            PAIRED_BOOTSTRAP
        }

        /** Whether the difference is significant at a level of 5 %. */
        public boolean isSignificant() {
            double level = 0.05;
            return pValue < level;
        }
    }

    static Comparison of(Role role, EvalResult base, EvalResult tuned, long seed) {
        return new Comparison(role, base, tuned, base.interval(seed), tuned.interval(seed), test(base, tuned, seed));
    }

    private static Test test(EvalResult base, EvalResult tuned, long seed) {
        int better = 0;
        int worse = 0;
        for (int i = 0; i < base.total(); i++) {
            double gain = tuned.items().get(i).score() - base.items().get(i).score();
            boolean improved = base.metric().higherIsBetter() ? gain > 0 : gain < 0;
            better += improved ? 1 : 0;
            worse += !improved && gain != 0 ? 1 : 0;
        }
        if (base.isAccuracy()) {
            return new Test(Test.Method.MCNEMAR, better, worse, Proportion.mcNemar(worse, better));
        }
        double pValue = new Bootstrap(base.metric()::compared, seed)
                .paired(base.sums(), tuned.sums())
                .pValue();
        return new Test(Test.Method.PAIRED_BOOTSTRAP, better, worse, pValue);
    }

    /** What is measured. */
    public String name() {
        return base.name();
    }

    /** The figure of the tuned model minus that of the base. */
    public double difference() {
        return tuned.value() - base.value();
    }

    /** Whether the tuned model is significantly better, at a level of 5 %. */
    public boolean isImproved() {
        return test.isSignificant() && isBetter();
    }

    /** Whether the figure of the tuned model is the better one. */
    boolean isBetter() {
        return base.metric().higherIsBetter() ? difference() > 0 : difference() < 0;
    }

    /**
     * How much of what the base does right the tuned model still does: of an accuracy the share of the base's right items, else the ratio of
     * the figures. 1 when there was nothing to lose.
     */
    double retention() {
        if (!base.isAccuracy()) {
            return base.value() == 0 ? 1 : tuned.value() / base.value();
        }
        return base.correct() == 0 ? 1 : (double) kept() / base.correct();
    }

    /** How many items both do right. */
    private int kept() {
        int kept = 0;
        for (int i = 0; i < base.total(); i++) {
            kept += base.items().get(i).isCorrect() && tuned.items().get(i).isCorrect() ? 1 : 0;
        }
        return kept;
    }

    /** How sure the retention is; empty for other figures than shares, and when there was nothing to lose. */
    Optional<Interval> retentionInterval() {
        if (!base.isAccuracy() || base.correct() == 0) {
            return Optional.empty();
        }
        double[] ends = Proportion.wilson(kept(), base.correct());
        return Optional.of(new Interval(ends[0], ends[1], Interval.Method.WILSON));
    }

    /** How sure the difference to the share of other items is; empty for other figures than shares. */
    Optional<Interval> intervalOver(Comparison other) {
        if (!tuned.isAccuracy() || !other.tuned.isAccuracy()) {
            return Optional.empty();
        }
        double[] ends = Proportion.newcombe(tuned.correct(), tuned.total(), other.tuned.correct(), other.tuned.total());
        return Optional.of(new Interval(ends[0], ends[1], Interval.Method.NEWCOMBE));
    }

    /** The figure of the tuned model, 0 to 1. */
    double share() {
        double hundred = 100;
        return tuned.isAccuracy() ? tuned.value() : tuned.value() / hundred;
    }
}
