package dev.finetune4j.lora.train;

import dev.finetune4j.core.SettingsException;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * How the learning rate moves over a training: a warm-up to the peak, then a course of its own. Immutable.
 *
 * <p>The values are those of the schedules of the same names in transformers
 * (<a href="https://huggingface.co/docs/transformers/main_classes/optimizer_schedules">get_scheduler</a>), which speaks of
 * the first step as step 0. Its two schedules that watch a metric instead of counting steps are not among them.
 */
public sealed interface LearningRateSchedule
        permits LearningRateSchedule.Constant,
                LearningRateSchedule.Linear,
                LearningRateSchedule.Cosine,
                LearningRateSchedule.CosineWithRestarts,
                LearningRateSchedule.CosineWithMinimum,
                LearningRateSchedule.CosineWarmupWithMinimum,
                LearningRateSchedule.Polynomial,
                LearningRateSchedule.InverseSqrt,
                WarmupStableDecay {
    /**
     * The training that a schedule spans.
     *
     * @param warmupSteps steps of the warm-up
     * @param totalSteps all optimizer steps, the warm-up among them
     * @param peak the learning rate at the end of the warm-up
     */
    record Span(int warmupSteps, int totalSteps, double peak) {
        /** Share of the way from 0 to the peak, for a step of the warm-up. */
        double warmup(int step) {
            return (double) step / Math.max(1, warmupSteps);
        }

        /** Share of the steps after the warm-up that lie behind, for a step after it; 1 one step after the last. */
        double progress(int step) {
            return (double) (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps);
        }
    }

    /**
     * The factor on the peak learning rate.
     *
     * @param step the optimizer step, from 0
     * @return 0 or more, 1 at the peak
     */
    double factor(int step, Span span);

    /** What keeps this schedule from running over the span, one sentence each; empty when nothing does. */
    default List<String> problems(Span span) {
        return List.of();
    }

    /** False when the schedule starts at its peak, whatever warm-up is asked for. */
    default boolean warmsUp() {
        return true;
    }

    /** The schedule of a name, with the usual arguments; see {@link #named(String, Map)}. */
    static LearningRateSchedule named(String name) {
        return named(name, Map.of());
    }

    /**
     * The schedule that transformers' {@code lr_scheduler_type} names, with its {@code lr_scheduler_kwargs}: {@code constant,
     * constant_with_warmup, linear, cosine, cosine_with_restarts, cosine_with_min_lr, cosine_warmup_with_min_lr, polynomial,
     * inverse_sqrt, warmup_stable_decay}.
     *
     * @param arguments such as {@code Map.of("min_lr_rate", 0.1)}; those left out have transformers' defaults
     * @throws SettingsException naming an unknown schedule or all arguments that cannot work
     */
    static LearningRateSchedule named(String name, Map<String, ?> arguments) {
        return ScheduleArguments.schedule(name, arguments);
    }

    /** The peak from the first step to the last, without a warm-up. */
    static LearningRateSchedule constant() {
        return new Constant(false);
    }

    /** A warm-up, then the peak. */
    static LearningRateSchedule constantWithWarmup() {
        return new Constant(true);
    }

    /** A straight line from the peak towards zero, which it would reach one step after the last. */
    static LearningRateSchedule linear() {
        return new Linear();
    }

    /** Half a cosine from the peak towards zero, which it would reach one step after the last. */
    static LearningRateSchedule cosine() {
        return new Cosine(0.5);
    }

    /** Half a cosine towards zero, run through {@code cycles} times, each time from the peak. */
    static LearningRateSchedule cosineWithRestarts(int cycles) {
        return new CosineWithRestarts(cycles);
    }

    /** Half a cosine from the peak towards {@code minimum}. */
    static LearningRateSchedule cosineWithMinimum(LearningRateFloor minimum) {
        return new CosineWithMinimum(minimum, 0.5);
    }

    /** A warm-up that starts above zero, then half a cosine that reaches {@code minimum} at the last step. */
    static LearningRateSchedule cosineWarmupWithMinimum(LearningRateFloor minimum) {
        return new CosineWarmupWithMinimum(minimum, 0.5, OptionalDouble.empty());
    }

    /** A power of the share of steps left, from the peak towards {@code end}; 1e-7 is transformers' default for it. */
    static LearningRateSchedule polynomial(double power, double end) {
        return new Polynomial(power, end);
    }

    /** One over the square root of the step; the number of warm-up steps is its time scale. */
    static LearningRateSchedule inverseSqrt() {
        return new InverseSqrt(OptionalInt.empty());
    }

    /** The peak until {@code decaySteps} are left, then half a cosine towards zero. */
    static LearningRateSchedule warmupStableDecay(int decaySteps) {
        return WarmupStableDecay.of(decaySteps);
    }

    /**
     * Stays at the peak.
     *
     * @param warmsUp whether a warm-up comes first
     */
    record Constant(boolean warmsUp) implements LearningRateSchedule {
        @Override
        public double factor(int step, Span span) {
            return warmsUp && step < span.warmupSteps() ? span.warmup(step) : 1;
        }
    }

    /** Falls in a straight line. */
    record Linear() implements LearningRateSchedule {
        @Override
        public double factor(int step, Span span) {
            if (step < span.warmupSteps()) {
                return span.warmup(step);
            }
            int after = Math.max(1, span.totalSteps() - span.warmupSteps());
            return Math.max(0, (double) (span.totalSteps() - step) / after);
        }
    }

    /**
     * Swings along a cosine between the peak and zero.
     *
     * @param cycles number of whole waves; 0.5 falls once
     */
    record Cosine(double cycles) implements LearningRateSchedule {
        public Cosine {
            requireAboveZero("cycles of the cosine schedule", cycles);
        }

        @Override
        public double factor(int step, Span span) {
            return step < span.warmupSteps() ? span.warmup(step) : Math.max(0, wave(cycles, span.progress(step)));
        }
    }

    /**
     * Falls along half a cosine and jumps back to the peak, several times.
     *
     * @param cycles number of falls
     */
    record CosineWithRestarts(int cycles) implements LearningRateSchedule {
        public CosineWithRestarts {
            requireAboveZero("cycles of the cosine schedule with restarts", cycles);
        }

        @Override
        public double factor(int step, Span span) {
            if (step < span.warmupSteps()) {
                return span.warmup(step);
            }
            double progress = span.progress(step);
            return progress >= 1 ? 0 : Math.max(0, wave(0.5, cycles * progress % 1.0));
        }
    }

    /**
     * Swings along a cosine between the peak and a minimum.
     *
     * @param minimum the lowest learning rate after the warm-up
     * @param cycles number of whole waves; 0.5 falls once
     */
    record CosineWithMinimum(LearningRateFloor minimum, double cycles) implements LearningRateSchedule {
        public CosineWithMinimum {
            requireAboveZero("cycles of the cosine schedule with a minimum", cycles);
        }

        @Override
        public double factor(int step, Span span) {
            return step < span.warmupSteps()
                    ? span.warmup(step)
                    : minimum.raise(wave(cycles, span.progress(step)), span.peak());
        }

        @Override
        public List<String> problems(Span span) {
            return minimum.problems(span.peak());
        }
    }

    /**
     * Swings along a cosine between the peak and a minimum, one step ahead of {@link CosineWithMinimum}, after a warm-up
     * whose first step already learns.
     *
     * @param minimum the lowest learning rate after the warm-up
     * @param cycles number of whole waves; 0.5 falls once
     * @param warmupStart share of the peak at the first step; when absent, the warm-up rises by the same amount each step
     */
    record CosineWarmupWithMinimum(LearningRateFloor minimum, double cycles, OptionalDouble warmupStart)
            implements LearningRateSchedule {
        public CosineWarmupWithMinimum {
            requireAboveZero("cycles of the cosine schedule with a minimum", cycles);
            double start = warmupStart.orElse(0);
            if (!(start >= 0 && start <= 1)) {
                throw problem("warmupStart of the cosine schedule must be a share of the peak from 0 to 1", start);
            }
        }

        @Override
        public double factor(int step, Span span) {
            if (step >= span.warmupSteps()) {
                return minimum.raise(wave(cycles, span.progress(step + 1)), span.peak());
            }
            if (warmupStart.isEmpty()) {
                return span.warmup(step + 1);
            }
            double start = warmupStart.getAsDouble();
            return start + (1 - start) * step / Math.max(1, span.warmupSteps() - 1);
        }

        @Override
        public List<String> problems(Span span) {
            return minimum.problems(span.peak());
        }
    }

    /**
     * Falls along a power of the share of steps that are left.
     *
     * @param power 1 for a straight line, 2 for a parabola
     * @param end the learning rate one step after the last, below the peak
     */
    record Polynomial(double power, double end) implements LearningRateSchedule {
        public Polynomial {
            requireAboveZero("power of the polynomial schedule", power);
            if (!(end >= 0) || Double.isInfinite(end)) {
                throw problem("end of the polynomial schedule must be a learning rate of 0 or more", end);
            }
        }

        @Override
        public double factor(int step, Span span) {
            if (step < span.warmupSteps()) {
                return span.warmup(step);
            }
            double left = Math.max(0, 1 - span.progress(step));
            return ((span.peak() - end) * Math.pow(left, power) + end) / span.peak();
        }

        @Override
        public List<String> problems(Span span) {
            return end < span.peak()
                    ? List.of()
                    : List.of("the polynomial schedule ends at " + end + ", which is not below the learning rate of "
                            + span.peak() + "; lower the end");
        }
    }

    /**
     * Falls as one over the square root of the step, and never reaches an end.
     *
     * @param timescale steps after which the factor has fallen to about 0.7, counted from the peak; when absent, the
     *     warm-up steps, or 10,000 when there are none
     */
    record InverseSqrt(OptionalInt timescale) implements LearningRateSchedule {
        private static final int USUAL = 10_000;

        public InverseSqrt {
            requireAboveZero("timescale of the inverse square root schedule", timescale.orElse(1));
        }

        @Override
        public double factor(int step, Span span) {
            if (step < span.warmupSteps()) {
                return span.warmup(step);
            }
            int scale = timescale.orElse(span.warmupSteps() > 0 ? span.warmupSteps() : USUAL);
            return 1 / Math.sqrt((step + ((double) scale - span.warmupSteps())) / scale);
        }
    }

    /** Half a cosine for 0.5 cycles: 1 at progress 0, 0 at progress 1. */
    private static double wave(double cycles, double progress) {
        return 0.5 * (1 + Math.cos(Math.PI * cycles * 2 * progress));
    }

    private static void requireAboveZero(String what, double value) {
        if (!(value > 0) || Double.isInfinite(value)) {
            throw problem(what + " must be above 0", value);
        }
    }

    private static SettingsException problem(String rule, double value) {
        return new SettingsException(List.of(rule + ", but is " + value));
    }
}
