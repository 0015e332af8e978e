package dev.finetune4j.lora.train;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/**
 * A warm-up to the peak, a plateau, and a decay to a floor, which stays
 * (<a href="https://arxiv.org/abs/2404.06395">MiniCPM</a>'s WSD schedule). Immutable; the {@code with…} methods return
 * changed copies.
 *
 * @param decaySteps steps of the decay
 * @param stableSteps steps of the plateau; when absent, all that warm-up and decay leave
 * @param warmupShape form of the rise
 * @param decayShape form of the fall
 * @param minimumShare share of the peak at which the rise starts and the fall ends, from 0 to 1
 * @param cycles number of whole waves of a fall along a cosine; 0.5 falls once
 */
public record WarmupStableDecay(
        int decaySteps,
        OptionalInt stableSteps,
        Shape warmupShape,
        Shape decayShape,
        double minimumShare,
        double cycles)
        implements LearningRateSchedule {
    /** The form of a rise or fall. */
    public enum Shape {
        /** A straight line. */
        LINEAR,
        /** Half a cosine: slow at both ends. */
        COSINE,
        /** One minus a square root: the fall is steep at its beginning, the rise steep at its end. */
        ONE_MINUS_SQRT
    }

    public WarmupStableDecay {
        List<String> problems = new ArrayList<>();
        if (decaySteps < 1) {
            problems.add("decaySteps of the warm-up, stable, decay schedule must be at least 1, but is " + decaySteps);
        }
        if (stableSteps.orElse(0) < 0) {
            problems.add("stableSteps of the warm-up, stable, decay schedule must be 0 or more, but is "
                    + stableSteps.getAsInt());
        }
        if (!(minimumShare >= 0 && minimumShare <= 1)) {
            problems.add("minimumShare of the warm-up, stable, decay schedule must be a share of the peak from 0 to 1, "
                    + "but is " + minimumShare);
        }
        if (!(cycles > 0) || Double.isInfinite(cycles)) {
            problems.add("cycles of the warm-up, stable, decay schedule must be above 0, but is " + cycles);
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** A straight warm-up, a plateau over all steps between, and half a cosine towards zero. */
    public static WarmupStableDecay of(int decaySteps) {
        return new WarmupStableDecay(decaySteps, OptionalInt.empty(), Shape.LINEAR, Shape.COSINE, 0, 0.5);
    }

    /** A copy whose plateau has this many steps, whatever the length of the training. */
    public WarmupStableDecay withStableSteps(int steps) {
        return new WarmupStableDecay(decaySteps, OptionalInt.of(steps), warmupShape, decayShape, minimumShare, cycles);
    }

    /** A copy with another form of the rise and of the fall. */
    public WarmupStableDecay withShapes(Shape warmup, Shape decay) {
        return new WarmupStableDecay(decaySteps, stableSteps, warmup, decay, minimumShare, cycles);
    }

    /** A copy that starts from and falls to this share of the peak. */
    public WarmupStableDecay withMinimumShare(double share) {
        return new WarmupStableDecay(decaySteps, stableSteps, warmupShape, decayShape, share, cycles);
    }

    @Override
    public double factor(int step, Span span) {
        if (step < span.warmupSteps()) {
            return raise(rise(span.warmup(step)));
        }
        int intoDecay = step - span.warmupSteps() - stable(span);
        if (intoDecay < 0) {
            return 1;
        }
        return intoDecay < decaySteps ? raise(fall((double) intoDecay / decaySteps)) : minimumShare;
    }

    @Override
    public List<String> problems(Span span) {
        int needed = span.warmupSteps() + stableSteps.orElse(0) + decaySteps;
        return needed <= span.totalSteps()
                ? List.of()
                : List.of("the schedule needs " + needed + " steps (" + span.warmupSteps() + " of warm-up, "
                        + stableSteps.orElse(0) + " at the peak, " + decaySteps + " of decay), but the training has "
                        + span.totalSteps() + "; shorten the decay or train longer");
    }

    private int stable(Span span) {
        return stableSteps.orElse(span.totalSteps() - span.warmupSteps() - decaySteps);
    }

    private double rise(double progress) {
        return switch (warmupShape) {
            case LINEAR -> progress;
            case COSINE -> 0.5 * (1 - Math.cos(Math.PI * progress));
            case ONE_MINUS_SQRT -> 1 - Math.sqrt(1 - progress);
        };
    }

    private double fall(double progress) {
        return switch (decayShape) {
            case LINEAR -> 1 - progress;
            case COSINE -> 0.5 * (1 + Math.cos(Math.PI * cycles * 2 * progress));
            case ONE_MINUS_SQRT -> 1 - Math.sqrt(progress);
        };
    }

    private double raise(double factor) {
        return Math.max(0, factor * (1 - minimumShare) + minimumShare);
    }
}
