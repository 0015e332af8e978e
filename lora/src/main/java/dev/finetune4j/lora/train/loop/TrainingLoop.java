package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingException;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import org.bytedeco.pytorch.NoGradGuard;
import org.jspecify.annotations.Nullable;

/**
 * The loop itself: forward and backward of the micro-batches of a step, sum over the ranks, clip, optimizer step, report. Confined to
 * the training's thread.
 */
final class TrainingLoop {
    private final Setup setup;
    private final ForwardBackward passes;
    private final TrainingState state;
    private final LearningRateSchedule.Span span;
    private final Progress progress;
    private final BetweenSteps between;
    private final StepPasses steps;

    /** @param span the steps of the schedule */
    TrainingLoop(
            Setup setup,
            ForwardBackward passes,
            TrainingState state,
            LearningRateSchedule.Span span,
            Progress progress,
            BetweenSteps between) {
        this.setup = setup;
        this.passes = passes;
        this.state = state;
        this.span = span;
        this.progress = progress;
        this.between = between;
        this.steps = new StepPasses(setup, passes, state.parameters().gradients(), this::stops);
    }

    /** Trains from where the state is to the last step or until it is to stop. */
    TrainingReport.Outcome run() {
        TrainingSettings settings = setup.settings();
        steps.goTo(state);
        int index = state.step();
        TrainingState.RandomState random = state.random();
        @Nullable Step step = index < span.totalSteps() ? steps.next(index, random) : null;
        while (step != null && !stops()) {
            double learningRate = learningRate(index);
            sumOverRanks();
            // Leaves the gradients at zero for the next step; does nothing when they are no numbers.
            GradientStep.AsyncResult update =
                    state.optimizer().clipAndStep(passes.sums(), settings.maxGradNorm(), learningRate);
            setup.trainable().values().forEach(Parameter::changed);

            index++;
            random =
                    random.after(settings.gradientAccumulation() * setup.ranks().size());
            boolean more = index < span.totalSteps();
            // On a GPU the next step is enqueued before the result of this one is waited for.
            @Nullable Step ahead = more && passes.isAsync() ? steps.next(index, random) : null;
            GradientStep.StepResult result = update.get();
            setup.ranks().requireAll();
            if (result.isFinite()) {
                state.advance(index, step.batch().end(), random);
                report(step, result, learningRate);
            } else {
                progress.skipped().add(step, result);
                state.skip(index, step.batch().end(), random);
                between.afterSkipped(index);
                // Its gradients were added to what the skipped step has left.
                ahead = ahead != null && steps.enqueue(ahead) ? ahead : null;
            }
            step = ahead != null || !more || passes.isAsync() ? ahead : steps.next(index, random);
        }
        return index < span.totalSteps() ? TrainingReport.Outcome.STOPPED : TrainingReport.Outcome.COMPLETED;
    }

    /** The batches on which the outcome is measured. */
    FirstBatches seen() {
        return steps.seen();
    }

    private double learningRate(int index) {
        TrainingSettings settings = setup.settings();
        double scheduled = settings.learningRate() * settings.schedule().factor(index, span);
        return settings.optimizer().learningRate(index + 1, scheduled);
    }

    private void report(Step step, GradientStep.StepResult result, double learningRate) {
        StepReport report = progress.reports().add(step, result, learningRate);
        if (report.step() == 1) {
            setup.objective().startProblem(report.metrics()).ifPresent(problem -> {
                throw new TrainingException(problem);
            });
        }
        between.afterDone(report);
    }

    private void sumOverRanks() {
        try (NoGradGuard off = new NoGradGuard()) {
            setup.ranks().sum(state.parameters().gradients());
            setup.ranks().sum(passes.sums());
        }
    }

    /** Whether to end here, all ranks alike; comes back later when the training is paused. */
    private boolean stops() {
        long asked = System.nanoTime();
        boolean stops = setup.ranks().any(between.stopped() || setup.cancelled().getAsBoolean());
        progress.reports().leaveOut(System.nanoTime() - asked);
        return stops;
    }
}
