package dev.finetune4j.lora.train;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.data.Batch;
import dev.finetune4j.data.BatchLoader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The training loop: window of batches, forward and backward for each, clip, optimizer step, report.
 *
 * <p>It trains whatever tensors it is given and knows nothing of adapters. The loss of a step is the sum over its target
 * tokens divided by their number in <em>all</em> micro-batches, so it does not change with the way a step is split.
 *
 * <p>A trainer runs once and is confined to one thread; only the cancellation may come from elsewhere.
 */
public final class Trainer {
    private static final Logger LOG = LoggerFactory.getLogger(Trainer.class);
    private static final String ADVICE = "; lower the learning rate, lengthen the warm-up, or compute in FP32";

    private final CausalLM model;
    private final Map<String, Tensor> trainable;
    private final ParameterGroups groups;
    private final BatchLoader loader;
    private final TrainingSettings settings;
    private final Expectations expected;
    private final List<TrainingListener> listeners;
    private final BooleanSupplier cancelled;
    /** The batches of the first epoch of a small data set; else empty. */
    private final List<Batch> all = new ArrayList<>();

    private long lastReport = Long.MIN_VALUE;
    private String doing = "making room for gradients and optimizer";

    /** A trainer that treats all parameters alike. */
    public Trainer(
            CausalLM model,
            Map<String, Tensor> trainable,
            BatchLoader loader,
            TrainingSettings settings,
            List<TrainingListener> listeners,
            BooleanSupplier cancelled) {
        this(model, trainable, ParameterGroups.ONE, loader, settings, listeners, cancelled);
    }

    /** A trainer that expects nothing. */
    public Trainer(
            CausalLM model,
            Map<String, Tensor> trainable,
            ParameterGroups groups,
            BatchLoader loader,
            TrainingSettings settings,
            List<TrainingListener> listeners,
            BooleanSupplier cancelled) {
        this(model, trainable, groups, loader, settings, Expectations.none(), listeners, cancelled);
    }

    /**
     * @param model computes the hidden states; an adapter's view or the base itself
     * @param trainable the tensors to train, float32, by name; they require gradients only while the training runs
     * @param groups says which of them learn faster, slower or without weight decay
     * @param loader gives the batches of each step
     * @param expected by what the outcome is judged
     * @param listeners watch
     * @param cancelled asked before each micro-batch; true ends the training with the state of the last finished step
     */
    public Trainer(
            CausalLM model,
            Map<String, Tensor> trainable,
            ParameterGroups groups,
            BatchLoader loader,
            TrainingSettings settings,
            Expectations expected,
            List<TrainingListener> listeners,
            BooleanSupplier cancelled) {
        this.model = model;
        this.trainable = trainable;
        this.groups = groups;
        this.loader = loader;
        this.settings = settings;
        this.expected = expected;
        this.listeners = List.copyOf(listeners);
        this.cancelled = cancelled;
    }

    /**
     * Trains to the last step or until cancelled.
     *
     * @throws SettingsException before anything is trained, when the schedule does not fit into the number of steps
     * @throws TrainingException when the loss or the gradients are no longer numbers, or after the last step the values; they
     *     are then those of the last step that was done
     * @throws dev.finetune4j.core.OutOfDeviceMemoryException when memory runs out; what the step held is freed, and another
     *     trainer can go on from the values of the last good step with smaller batches
     */
    public TrainingReport run() {
        try {
            return train();
        } catch (RuntimeException e) {
            throw MemoryErrors.typed(e, model.placement().device(), doing);
        }
    }

    private TrainingReport train() {
        int totalSteps = settings.totalSteps(loader.stepsPerEpoch());
        LearningRateSchedule.Span span = span(totalSteps);
        long count = trainable.values().stream().mapToLong(Tensor::numel).sum();
        tell(listener -> listener.onStart(totalSteps, count));
        List<StepReport> reports = new ArrayList<>();
        TrainingReport.Outcome outcome = TrainingReport.Outcome.CANCELLED;
        TrainingWarnings.Findings found;
        long start = System.nanoTime();
        try (ForwardBackward passes = new ForwardBackward(model);
                FlatParameters parameters = new FlatParameters(trainable, groups, passes.computeType());
                AdamW optimizer = new AdamW(parameters, settings.weightDecay())) {
            @Nullable Step step = enqueue(0, passes, parameters);
            List<Batch> first = step == null ? List.of() : step.window();
            while (step != null && !cancelled.getAsBoolean()) {
                double factor = settings.schedule().factor(step.index(), span);
                AdamW.AsyncResult pending =
                        optimizer.step(passes.loss(), settings.maxGradNorm(), settings.learningRate() * factor);
                boolean more = step.index() + 1 < totalSteps;
                // On a GPU the next step is enqueued before the result of this one is waited for.
                @Nullable Step ahead = more && passes.isAsync() ? enqueue(step.index() + 1, passes, parameters) : null;
                StepReport report = report(step, totalSteps, finite(pending.get(), step), factor, start);
                lastReport = System.nanoTime();
                reports.add(report);
                tell(listener -> listener.onStep(report));
                if (!more) {
                    outcome = TrainingReport.Outcome.COMPLETED;
                    break;
                }
                step = ahead != null ? ahead : enqueue(step.index() + 1, passes, parameters);
            }
            found = findings(outcome, reports, first, new Evaluator(model, passes), parameters);
        }
        return end(found, count, start);
    }

    /**
     * The loss on the rows of the first step is also what the loss of a next step is to the others: the check that the last
     * update left numbers.
     */
    private TrainingWarnings.Findings findings(
            TrainingReport.Outcome outcome,
            List<StepReport> reports,
            List<Batch> first,
            Evaluator check,
            FlatParameters parameters) {
        int rows = all.stream().mapToInt(Batch::rows).sum();
        if (reports.isEmpty()) {
            return new TrainingWarnings.Findings(outcome, List.of(), TrainingReport.Losses.NONE, true, rows, rows);
        }
        doing = "checking the last of " + reports.size() + " steps";
        Evaluator.Measured tuned = Evaluator.isFinite(parameters.values())
                ? check.loss(model, first)
                : new Evaluator.Measured(Double.NaN, true);
        if (tuned.isThere() && !Double.isFinite(tuned.value())) {
            throw new TrainingException(
                    "step " + reports.size() + ", the last: after its update the loss is " + tuned.value() + ADVICE);
        }
        double base = expected.base() == null
                ? reports.get(0).loss()
                : check.loss(expected.base(), first).value();
        boolean counts = outcome == TrainingReport.Outcome.COMPLETED && tuned.isThere();
        Evaluator.Measured known = counts ? check.known(all) : new Evaluator.Measured(rows, true);
        return new TrainingWarnings.Findings(
                outcome,
                List.copyOf(reports),
                new TrainingReport.Losses(base, tuned.value()),
                tuned.isThere() && known.isThere() && !Double.isNaN(base),
                rows,
                known.isThere() ? (int) known.value() : rows);
    }

    private LearningRateSchedule.Span span(int totalSteps) {
        LearningRateSchedule.Span span =
                new LearningRateSchedule.Span(settings.warmupSteps(totalSteps), totalSteps, settings.learningRate());
        List<String> problems = settings.schedule().problems(span);
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
        return span;
    }

    /** A step whose forward and backward passes are enqueued. */
    private record Step(int index, List<Batch> window, long start) {}

    /** Enqueues forward and backward of a step; null when cancelled before all micro-batches were. */
    private @Nullable Step enqueue(int index, ForwardBackward passes, FlatParameters parameters) {
        Step step = new Step(index, loader.nextWindow(), System.nanoTime());
        if (index < loader.stepsPerEpoch() && loader.size() <= TrainingWarnings.SMALL) {
            all.addAll(step.window());
        }
        try {
            return pass(step, passes) ? step : null;
        } catch (RuntimeException e) {
            if (!MemoryErrors.ranOut(e) || !passes.makeRoom()) {
                throw e;
            }
            LOG.info("the captured CUDA graphs were given up for memory; the step begins again");
            // The pass that failed may have added some of its gradients.
            parameters.gradients().zero_();
            return pass(step, passes) ? step : null;
        }
    }

    /** Whether all micro-batches of a step were enqueued. */
    private boolean pass(Step step, ForwardBackward passes) {
        int targets = step.window().stream().mapToInt(Batch::targetTokens).sum();
        passes.clear();
        int first = step.index() * settings.accumulation();
        for (int i = 0; i < step.window().size(); i++) {
            Batch batch = step.window().get(i);
            if (cancelled.getAsBoolean()) {
                return false;
            }
            doing = "training step " + (step.index() + 1) + " with " + batch.rows() + " x " + batch.length()
                    + " tokens";
            // The same when a step begins again.
            passes.run(batch, 1.0 / targets, new Dropout.Draw(settings.seed(), first + i));
        }
        return true;
    }

    private static AdamW.StepResult finite(AdamW.StepResult found, Step step) {
        if (!found.isFinite()) {
            throw new TrainingException("step " + (step.index() + 1) + ": the loss is " + found.loss()
                    + " and the gradient norm " + found.norm() + ADVICE);
        }
        return found;
    }

    private StepReport report(Step step, int totalSteps, AdamW.StepResult result, double factor, long start) {
        long now = System.nanoTime();
        int tokens = step.window().stream().mapToInt(Batch::tokens).sum();
        Duration elapsed = Duration.ofNanos(now - start);
        return new StepReport(
                step.index() + 1,
                totalSteps,
                (step.index() + 1.0) / loader.stepsPerEpoch(),
                result.loss(),
                result.norm(),
                settings.learningRate() * factor,
                step.window().stream().mapToInt(Batch::targetTokens).sum(),
                tokens,
                tokens / ((now - Math.max(step.start(), lastReport)) / 1e9),
                elapsed,
                elapsed.multipliedBy(totalSteps - step.index() - 1L).dividedBy(step.index() + 1L));
    }

    private TrainingReport end(TrainingWarnings.Findings found, long count, long start) {
        Duration duration = Duration.ofNanos(System.nanoTime() - start);
        List<String> warnings = TrainingWarnings.of(found, settings, expected);
        warnings.forEach(LOG::warn);
        TrainingReport report = new TrainingReport(
                found.outcome(),
                found.steps(),
                count,
                duration,
                found.losses(),
                expected.data(),
                TrainingWarnings.with(expected.data(), warnings));
        tell(listener -> listener.onEnd(report));
        return report;
    }

    private void tell(Consumer<TrainingListener> event) {
        for (TrainingListener listener : listeners) {
            try {
                event.accept(listener);
            } catch (RuntimeException | Error e) {
                // Whatever it was ended with the listener's own call; what is trained must not be lost for it.
                LOG.warn("a training listener failed; the training goes on", e);
            }
        }
    }
}
