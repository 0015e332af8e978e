package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.batch.BatchLoader;
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
import java.nio.file.Path;
import java.util.ArrayList;
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
 * A training: takes what it is made of, begins or goes on, lets {@link TrainingLoop} train, and judges what came of it.
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
    private @Nullable Resumption resumption;
    private @Nullable CheckpointTarget target;
    private @Nullable TrainingState running;
    private @Nullable BatchLoader heldOut;
    private @Nullable Supplier<Map<String, Double>> exams;
    private @Nullable Consumer<Path> saver;
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
        resumption = new Resumption(checkpoint, unchanged);
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
        TrainingReport.History before = resumption == null ? TrainingReport.History.NONE : resumption.history();
        long count = trainable.values().stream()
                .mapToLong(parameter -> parameter.master().numel())
                .sum();
        listeners.tell(listener -> listener.onStart(totalSteps, count));
        if (resumption != null) {
            listeners.tell(listener -> listener.onResume(before));
        }
        Setup setup = new Setup(
                model, trainable, objective, loader, settings, totalSteps, listeners, ranks, cancelled, this::doing);
        Progress progress = new Progress(
                before,
                new StepReports(objective.metrics(), totalSteps, loader.stepsPerEpoch(), before),
                listeners,
                settings);
        List<String> problems = new ArrayList<>();
        OutcomeCheck.Findings found = train(setup, span, progress, problems);
        if (before.step() == totalSteps) {
            String finished = "the checkpoint that the training went on from is at step " + totalSteps + " of "
                    + totalSteps + ", so nothing was left to train; raise epochs or maxSteps to go on";
            LOG.warn(finished);
            problems.add(finished);
        }
        return end(found, count, progress, problems);
    }

    /** @param problems takes what is found, and said in the log, meanwhile */
    private OutcomeCheck.Findings train(
            Setup setup, LearningRateSchedule.Span span, Progress progress, List<String> problems) {
        try (ForwardBackward passes = new ForwardBackward(model, objective);
                TrainingState state = initialState(passes);
                Checkpoints checkpoints = target == null ? null : new Checkpoints(target, setup, state, progress)) {
            startAlike(state, span.totalSteps());
            running = state;
            HeldOut evaluation = heldOut == null && exams == null
                    ? null
                    : new HeldOut(model, objective, heldOut, exams, ranks, passes);
            BetweenSteps between = new BetweenSteps(setup, evaluation, saver, checkpoints, progress);
            TrainingLoop loop = new TrainingLoop(setup, passes, state, span, progress, between);
            listeners.enter(TrainingListener.Phase.TRAINING);
            TrainingReport.Outcome outcome = loop.run();
            if (checkpoints != null) {
                checkpoints.end(outcome);
                problems.addAll(checkpoints.problems());
            }
            listeners.enter(TrainingListener.Phase.CHECKING);
            List<StepReport> steps = progress.reports().all();
            doing("checking the last of " + steps.size() + " steps");
            return new OutcomeCheck(model, objective, expected, ranks, passes)
                    .findings(outcome, steps, loop.seen(), state.parameters());
        } finally {
            running = null;
        }
    }

    private void doing(String what) {
        doing = what;
    }

    /** The state before the first step that is still to do. */
    private TrainingState initialState(ForwardBackward passes) {
        TrainingState state =
                TrainingState.initial(trainable, groups, passes.computeType(), loader.position(), settings);
        try {
            if (resumed != null) {
                state.restore(resumed);
            } else if (resumption != null) {
                resumption.restore(state, objective);
                trainable.values().forEach(Parameter::changed);
            }
            return state;
        } catch (RuntimeException | Error e) {
            state.close();
            throw e;
        }
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
    private TrainingReport end(OutcomeCheck.Findings found, long count, Progress progress, List<String> problems) {
        List<String> warnings = new ArrayList<>(TrainingWarnings.of(found, settings, expected));
        warnings.forEach(LOG::warn);
        warnings.addAll(problems);
        DataReport data = expected.dataReport();
        TrainingReport report = new TrainingReport(
                found.outcome(),
                found.steps(),
                progress.skipped().all(),
                progress.evaluations(),
                count,
                progress.reports().elapsed(),
                found.losses(),
                data,
                TrainingWarnings.with(data, warnings));
        listeners.tell(listener -> listener.onEnd(report));
        return report;
    }
}
