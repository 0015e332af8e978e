package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.OptimizerBatch;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.objective.SftObjective;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingException;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.checkpoint.CheckpointTarget;
import dev.finetune4j.lora.train.checkpoint.SavedCheckpoint;
import dev.finetune4j.lora.train.checkpoint.TrainerState;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The training loop: forward and backward of the micro-batches of a step, clip, optimizer step, report.
 *
 * <p>It trains whatever tensors it is given towards whatever {@link Objective} it is given, supervised fine-tuning by default, and
 * knows nothing of adapters.
 *
 * <p>Several ranks train as one does: each runs its share of the micro-batches, gradients and losses are added up before the clip, and
 * all make the same optimizer step. What is decided between two steps is decided by rank 0, whose listeners alone are asked; a wish of any
 * rank to end counts for all.
 *
 * <p>A trainer runs once and is confined to one thread; only the cancellation may come from elsewhere.
 */
public final class Trainer {
    private static final Logger LOG = LoggerFactory.getLogger(Trainer.class);

    private final CausalLM model;
    private final Map<String, Parameter> trainable;
    private final ParameterGroups groups;
    private final BatchLoader loader;
    private final TrainingSettings settings;
    private final ListenerSet listeners;
    private final BooleanSupplier cancelled;
    private Objective objective = new SftObjective();
    private Expectations expected = Expectations.none();
    private Communicator ranks = Communicator.alone();
    private TrainingState.@Nullable Snapshot resumed;
    private @Nullable SavedCheckpoint saved;
    private Map<String, Tensor> frozen = Map.of();
    private @Nullable CheckpointTarget target;
    private @Nullable TrainingState running;
    private @Nullable BatchLoader heldOut;
    private @Nullable Supplier<Map<String, Double>> exams;
    private @Nullable Consumer<Path> saver;
    private final List<TrainingReport.NonFinite> skipped = new ArrayList<>();
    private final List<TrainingReport.Evaluation> evaluations = new ArrayList<>();
    private String doing = "making room for gradients and optimizer";

    /** A trainer that treats all parameters alike. */
    public Trainer(
            CausalLM model,
            Map<String, Parameter> trainable,
            BatchLoader loader,
            TrainingSettings settings,
            List<TrainingListener> listeners,
            BooleanSupplier cancelled) {
        this(model, trainable, ParameterGroups.ONE, loader, settings, listeners, cancelled);
    }

    /**
     * @param model computes the hidden states; an adapter's view or the base itself
     * @param trainable what to train, float32, by name; its tensors require gradients only while the training runs
     * @param groups says which of them learn faster, slower or without weight decay
     * @param loader gives the batches of each step
     * @param listeners watch
     * @param cancelled asked before each micro-batch; true ends the training with the state of the last finished step
     */
    public Trainer(
            CausalLM model,
            Map<String, Parameter> trainable,
            ParameterGroups groups,
            BatchLoader loader,
            TrainingSettings settings,
            List<TrainingListener> listeners,
            BooleanSupplier cancelled) {
        this.model = model;
        this.trainable = trainable;
        this.groups = groups;
        this.loader = loader;
        this.settings = settings;
        this.listeners = new ListenerSet(listeners);
        this.cancelled = cancelled;
    }

    /** Minimizes this instead of the cross entropy of the next token. Returns this trainer. */
    public Trainer minimizing(Objective chosen) {
        objective = chosen;
        return this;
    }

    /** Judges the outcome by what is known beforehand. Returns this trainer. */
    public Trainer expecting(Expectations known) {
        expected = known;
        return this;
    }

    /**
     * Evaluates held-out examples too, each {@link TrainingSettings#evaluationSteps} steps and whenever a listener asks. Returns this
     * trainer.
     */
    public Trainer evaluating(BatchLoader examples) {
        heldOut = examples;
        return this;
    }

    /**
     * Trains together with other ranks, each with a loader of its own share of the same data. Returns this trainer.
     *
     * @param together stays the caller's
     */
    public Trainer among(Communicator together) {
        ranks = together;
        return this;
    }

    /** Adds metrics by name to each evaluation, with held-out examples or without. Returns this trainer. */
    public Trainer examining(Supplier<Map<String, Double>> questions) {
        exams = questions;
        return this;
    }

    /** Lets listeners save what is trained. Returns this trainer. */
    public Trainer savingBy(Consumer<Path> writer) {
        saver = writer;
        return this;
    }

    /** Writes checkpoints. Returns this trainer. */
    public Trainer checkpointing(CheckpointTarget where) {
        target = where;
        return this;
    }

    /**
     * Goes on from a checkpoint of a training of the same model, data and settings, which may have had fewer steps. Returns this
     * trainer.
     *
     * @param unchanged as {@link CheckpointTarget#frozen}, which get the values of then
     */
    public Trainer resumingFrom(SavedCheckpoint checkpoint, Map<String, Tensor> unchanged) {
        saved = checkpoint;
        frozen = unchanged;
        return this;
    }

    /** Goes on where a training of the same model, data and settings was. The snapshot stays the caller's. Returns this trainer. */
    Trainer resumingFrom(TrainingState.Snapshot snapshot) {
        resumed = snapshot;
        return this;
    }

    /**
     * A copy of the state after the last finished step, for a listener to take while the training runs.
     *
     * @throws IllegalStateException if it does not run
     */
    TrainingState.Snapshot snapshot() {
        if (running == null) {
            throw new IllegalStateException("this trainer does not run; take snapshots in a listener's onStep");
        }
        return running.snapshot();
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
        TrainingReport.History before =
                saved == null ? TrainingReport.History.NONE : saved.state().history();
        skipped.addAll(before.skipped());
        evaluations.addAll(before.evaluations());
        long count = trainable.values().stream()
                .mapToLong(parameter -> parameter.master().numel())
                .sum();
        listeners.tell(listener -> listener.onStart(totalSteps, count));
        if (saved != null) {
            listeners.tell(listener -> listener.onResume(before));
        }
        StepReports reports = new StepReports(objective.metrics(), totalSteps, loader.stepsPerEpoch(), before);
        OutcomeCheck.Findings found;
        List<String> problems = new ArrayList<>();
        try (ForwardBackward passes = new ForwardBackward(model, objective);
                TrainingState state = initialState(passes);
                Checkpoints checkpoints = checkpoints(state, reports, totalSteps)) {
            startAlike(state, totalSteps);
            running = state;
            Loop loop = new Loop(passes, state, span, reports, checkpoints);
            listeners.enter(TrainingListener.Phase.TRAINING);
            TrainingReport.Outcome outcome = loop.run();
            if (checkpoints != null) {
                checkpoints.end(outcome);
                problems.addAll(checkpoints.problems());
            }
            listeners.enter(TrainingListener.Phase.CHECKING);
            doing = "checking the last of " + reports.all().size() + " steps";
            found = new OutcomeCheck(model, objective, expected, ranks, passes)
                    .findings(outcome, reports.all(), loop.seen, state.parameters());
        } finally {
            running = null;
        }
        if (before.step() == totalSteps) {
            String finished = "the checkpoint that the training went on from is at step " + totalSteps + " of "
                    + totalSteps + ", so nothing was left to train; raise epochs or maxSteps to go on";
            LOG.warn(finished);
            problems.add(finished);
        }
        return end(found, count, reports, problems);
    }

    /** The state before the first step that is still to do. */
    private TrainingState initialState(ForwardBackward passes) {
        TrainingState state =
                TrainingState.initial(trainable, groups, passes.computeType(), loader.position(), settings);
        try {
            if (resumed != null) {
                state.restore(resumed);
            } else if (saved != null) {
                try (TrainingState.Snapshot snapshot = Checkpoints.read(saved, frozen)) {
                    state.restore(snapshot);
                }
                Checkpoints.restore(saved, objective);
                trainable.values().forEach(Parameter::changed);
            }
            return state;
        } catch (RuntimeException | Error e) {
            state.close();
            throw e;
        }
    }

    private @Nullable Checkpoints checkpoints(TrainingState state, StepReports reports, int totalSteps) {
        if (target == null) {
            return null;
        }
        return new Checkpoints(
                target,
                state,
                objective,
                () -> new TrainerState(
                        state.updates(),
                        totalSteps,
                        loader.stepsPerEpoch(),
                        state.position(),
                        state.random().seed(),
                        state.random().pass(),
                        new TrainingReport.History(
                                state.step(), reports.all(), skipped, evaluations, reports.elapsed())),
                listeners);
    }

    /** Lets all ranks begin with the values of rank 0, whatever theirs are. */
    private void startAlike(TrainingState state, int totalSteps) {
        ranks.requireSame("the number of steps", totalSteps);
        ranks.requireSame(
                "the number of trained values", state.parameters().values().numel());
        ranks.requireSame("the step to begin with", state.step());
        try (NoGradGuard off = new NoGradGuard()) {
            ranks.broadcast(state.parameters().values());
            state.parameters().refreshComputeCopies();
        }
    }

    /**
     * A step whose forward and backward passes are enqueued.
     *
     * @param index counted from 0
     * @param batch its micro-batches, and where the data goes on after it, wherever the loader has run ahead to
     * @param random what dropout draws in it
     * @param start when it began, {@link System#nanoTime}
     */
    record Step(int index, OptimizerBatch batch, TrainingState.RandomState random, long start) {
        List<Batch> microBatches() {
            return batch.microBatches();
        }
    }

    /** The loop itself. */
    private final class Loop {
        private final ForwardBackward passes;
        private final TrainingState state;
        private final LearningRateSchedule.Span span;
        private final StepReports reports;
        private final FirstBatches seen = new FirstBatches(loader);
        private final @Nullable HeldOut evaluation;
        private final @Nullable Checkpoints checkpoints;
        private boolean stopped;

        Loop(
                ForwardBackward passes,
                TrainingState state,
                LearningRateSchedule.Span span,
                StepReports reports,
                @Nullable Checkpoints checkpoints) {
            this.checkpoints = checkpoints;
            this.passes = passes;
            this.state = state;
            this.span = span;
            this.reports = reports;
            this.evaluation = heldOut == null && exams == null
                    ? null
                    : new HeldOut(model, objective, heldOut, exams, ranks, passes);
        }

        TrainingReport.Outcome run() {
            int index = state.step();
            if (index > 0) {
                seen.addFirst(loader, index);
                loader.seek(state.position());
            }
            TrainingState.RandomState random = state.random();
            @Nullable Step step = index < span.totalSteps() ? forwardBackward(index, random) : null;
            while (step != null && !stops()) {
                double learningRate = settings.optimizer()
                        .learningRate(
                                index + 1,
                                settings.learningRate() * settings.schedule().factor(index, span));
                sumOverRanks();
                // Leaves the gradients at zero for the next step; does nothing when they are no numbers.
                GradientStep.AsyncResult update =
                        state.optimizer().clipAndStep(passes.sums(), settings.maxGradNorm(), learningRate);
                trainable.values().forEach(Parameter::changed);

                index++;
                random = random.after(settings.gradientAccumulation() * ranks.size());
                boolean more = index < span.totalSteps();
                // On a GPU the next step is enqueued before the result of this one is waited for.
                @Nullable Step ahead = more && passes.isAsync() ? forwardBackward(index, random) : null;
                GradientStep.StepResult result = update.get();
                ranks.requireAll();
                if (result.isFinite()) {
                    state.advance(index, step.batch().end(), random);
                    StepReport report = reports.add(step, result, learningRate);
                    if (index == 1) {
                        objective.startProblem(report.metrics()).ifPresent(problem -> {
                            throw new TrainingException(problem);
                        });
                    }
                    settle(report);
                } else {
                    skip(step, result);
                    state.skip(index, step.batch().end(), random);
                    takeCheckpoint(false, List.of());
                    // Its gradients were added to what the skipped step has left.
                    ahead = ahead != null && forwardBackward(ahead) ? ahead : null;
                }
                step = ahead != null || !more || passes.isAsync() ? ahead : forwardBackward(index, random);
            }
            return index < span.totalSteps() ? TrainingReport.Outcome.STOPPED : TrainingReport.Outcome.COMPLETED;
        }

        private void sumOverRanks() {
            try (NoGradGuard off = new NoGradGuard()) {
                ranks.sum(state.parameters().gradients());
                ranks.sum(passes.sums());
            }
        }

        /** Whether to end here, all ranks alike; comes back later when the training is paused. */
        private boolean stops() {
            long asked = System.nanoTime();
            boolean stops = ranks.any(stopped || cancelled.getAsBoolean());
            reports.leaveOut(System.nanoTime() - asked);
            return stops;
        }

        /** Tells of a step that trained nothing, and ends the training if too many have. */
        private void skip(Step step, GradientStep.StepResult result) {
            TrainingReport.NonFinite found = new TrainingReport.NonFinite(
                    step.index() + 1,
                    result.loss(),
                    result.norm(),
                    sequences(step.batch().ofAllRanks()));
            listeners.tell(listener -> listener.onNonFinite(found));
            if (skipped.size() == settings.maxSkippedSteps()) {
                throw OutcomeCheck.failure(found, skipped.size());
            }
            skipped.add(found);
            LOG.warn(
                    "step {} is skipped, {} of at most {}: the loss is {} and the gradient norm {}",
                    found.step(),
                    skipped.size(),
                    settings.maxSkippedSteps(),
                    found.loss(),
                    found.gradNorm());
        }

        /** Tells of a step that is done, and does what is asked for after it. */
        private void settle(StepReport report) {
            try (StepControl control = new StepControl(report, listeners, evaluation, saver, checkpoints != null)) {
                listeners.tell(listener -> listener.onStep(report, control));
                if (evaluation != null && ranks.isFirst() && isEvaluated(report)) {
                    doing = "evaluating after step " + report.step();
                    control.evaluate();
                }
                settleTogether(control);
                evaluations.addAll(control.evaluations());
                stopped = control.stops();
                takeCheckpoint(control.wantsCheckpoint(), control.evaluations());
            }
            reports.goOn();
        }

        private void takeCheckpoint(boolean wanted, List<TrainingReport.Evaluation> measured) {
            if (checkpoints != null) {
                doing = "taking a checkpoint after step " + state.step();
                checkpoints.after(wanted, measured);
            }
        }

        /** The other ranks do what rank 0 begins, until it is through. */
        private void settleTogether(StepControl control) {
            while (ranks.ofFirst(HeldOut.NO_MORE) == HeldOut.EVALUATE) {
                control.evaluate();
            }
        }

        private boolean isEvaluated(StepReport report) {
            int every = settings.evaluationSteps() > 0 ? settings.evaluationSteps() : loader.stepsPerEpoch();
            return report.step() % every == 0 || report.step() == report.totalSteps();
        }

        /** Enqueues forward and backward of a step's micro-batches; null when cancelled before all of them were. */
        private @Nullable Step forwardBackward(int index, TrainingState.RandomState random) {
            Step step = new Step(index, loader.next(), random, System.nanoTime());
            seen.add(step);
            try {
                return forwardBackward(step) ? step : null;
            } catch (RuntimeException e) {
                if (!MemoryErrors.ranOut(e) || !passes.freeGraphs()) {
                    throw e;
                }
                LOG.info("the captured CUDA graphs were given up for memory; the step begins again");
                // The pass that failed may have added some of its gradients.
                state.parameters().gradients().zero_();
                return forwardBackward(step) ? step : null;
            }
        }

        /** Whether all micro-batches were enqueued. */
        private boolean forwardBackward(Step step) {
            passes.clear();
            for (int i = 0; i < step.batch().size(); i++) {
                // Of several ranks none leaves the others alone in the middle of a step.
                if (ranks.size() == 1 && stops()) {
                    return false;
                }
                if (i == step.microBatches().size()) {
                    objective.skip(model);
                    break;
                }
                Batch batch = step.microBatches().get(i);
                doing = "training step " + (step.index() + 1) + " with " + size(batch);
                passes.run(
                        batch,
                        objective.scale(step.batch(), i),
                        step.random().draw(ranks.rank() * settings.gradientAccumulation() + i));
            }
            return true;
        }
    }

    private static List<List<Integer>> sequences(List<Batch> batches) {
        return batches.stream()
                .flatMap(batch -> batch.sequences().stream())
                .map(sequence ->
                        Arrays.stream(sequence.tokens().inputIds()).boxed().toList())
                .toList();
    }

    private static String size(Batch batch) {
        return batch.isPacked()
                ? batch.sequences().size() + " sequences of " + batch.length() + " tokens together"
                : batch.rows() + " x " + batch.length() + " tokens";
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

    /** @param problems what was said in the log already */
    private TrainingReport end(OutcomeCheck.Findings found, long count, StepReports reports, List<String> problems) {
        List<String> warnings = new ArrayList<>(TrainingWarnings.of(found, settings, expected));
        warnings.forEach(LOG::warn);
        warnings.addAll(problems);
        DataReport data = expected.dataReport();
        TrainingReport report = new TrainingReport(
                found.outcome(),
                found.steps(),
                skipped,
                evaluations,
                count,
                reports.elapsed(),
                found.losses(),
                data,
                TrainingWarnings.with(data, warnings));
        listeners.tell(listener -> listener.onEnd(report));
        return report;
    }
}
