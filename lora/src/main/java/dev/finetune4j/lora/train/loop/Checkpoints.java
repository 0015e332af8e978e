package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.checkpoint.CheckpointTarget;
import dev.finetune4j.lora.train.checkpoint.CheckpointWriter;
import dev.finetune4j.lora.train.checkpoint.ModelSaver;
import dev.finetune4j.lora.train.checkpoint.TakenCheckpoint;
import dev.finetune4j.lora.train.checkpoint.TrainerState;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The checkpoints of one training: after which steps they are taken, and that a copy of the state is written while the training goes
 * on. At most one is being written; the next one waits for it. Confined to the training's thread.
 */
final class Checkpoints implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Checkpoints.class);

    /** What the names of the tensors begin with, by what they are of. */
    static final String VALUE = "value.";

    static final String OPTIMIZER = "optimizer.";
    static final String FROZEN = "frozen.";
    static final String OBJECTIVE = "objective.";

    private final CheckpointTarget target;
    private final TrainingState state;
    private final Progress progress;
    private final Setup setup;
    private final CheckpointWriter writer;
    private final List<String> problems = new ArrayList<>();
    private final int every;
    private int last;
    private double best;

    /** @param progress what the training has done, with what was done before it went on here */
    Checkpoints(CheckpointTarget target, Setup setup, TrainingState state, Progress progress) {
        this.target = target;
        this.setup = setup;
        this.state = state;
        this.progress = progress;
        this.writer = new CheckpointWriter(target.folder(), target.settings());
        int steps = target.settings().saveSteps();
        this.every = steps > 0 ? steps : setup.loader().stepsPerEpoch();
        this.last = state.step();
        this.best = now().best().map(TrainingReport.Evaluation::loss).orElse(Double.POSITIVE_INFINITY);
    }

    private TrainerState now() {
        return new TrainerState(
                state.updates(),
                setup.totalSteps(),
                setup.loader().stepsPerEpoch(),
                state.position(),
                state.random().seed(),
                state.random().pass(),
                progress.history(state.step()));
    }

    /**
     * Takes the checkpoint that is due after a step, and tells what became of the one before.
     *
     * @param wanted whether a listener asked for one
     * @param evaluations those after this step
     */
    void after(boolean wanted, List<TrainingReport.Evaluation> evaluations) {
        writer.finished(false).ifPresent(this::tell);
        boolean isBest = false;
        for (TrainingReport.Evaluation evaluation : evaluations) {
            isBest |= evaluation.loss() < best;
            best = Math.min(best, evaluation.loss());
        }
        int step = state.step();
        if (wanted
                || step % every == 0
                || step == setup.totalSteps()
                || (isBest && target.settings().keepBest())) {
            take(now());
        }
    }

    /** Takes the checkpoint of a training that was stopped, and waits until all are written. */
    void end(TrainingReport.Outcome outcome) {
        if (outcome == TrainingReport.Outcome.STOPPED && target.settings().saveOnStop() && state.step() > last) {
            take(now());
        }
        writer.finished(true).ifPresent(this::tell);
    }

    /** Why some could not be written, one sentence for each. */
    List<String> problems() {
        return problems;
    }

    private void take(TrainerState now) {
        writer.finished(true).ifPresent(this::tell);
        last = now.step();
        setup.listeners().enter(TrainingListener.Phase.SAVING);
        try {
            long free = DeviceMemory.of(ComputeDevice.cpu()).free();
            if (TakenCheckpoint.isCopied(state.bytes(), free)) {
                writer.start(copied(now));
            } else {
                LOG.info(
                        "the state is large beside the free memory, so the training waits until checkpoint-{} is written",
                        last);
                try (TensorScope scope = new TensorScope();
                        NoGradGuard off = new NoGradGuard()) {
                    tell(writer.write(
                            taken(now, state.values(), state.optimizer().state(), () -> {})));
                }
            }
        } finally {
            setup.listeners().enter(TrainingListener.Phase.TRAINING);
        }
    }

    private TakenCheckpoint copied(TrainerState now) {
        TrainingState.Snapshot snapshot = state.snapshot();
        try {
            return taken(now, snapshot.values(), snapshot.optimizer(), snapshot::close);
        } catch (RuntimeException | Error e) {
            snapshot.close();
            throw e;
        }
    }

    private TakenCheckpoint taken(
            TrainerState now, Map<String, Tensor> values, Map<String, Tensor> optimizer, Runnable release) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        values.forEach((name, tensor) -> tensors.put(VALUE + name, tensor));
        optimizer.forEach((name, tensor) -> tensors.put(OPTIMIZER + name, tensor));
        target.frozen().forEach((name, tensor) -> tensors.put(FROZEN + name, tensor));
        Map<String, Tensor> findings = setup.objective().findings();
        findings.forEach((name, tensor) -> tensors.put(OBJECTIVE + name, tensor));
        Runnable free = () -> {
            findings.values().forEach(Tensor::close);
            release.run();
        };
        ModelSaver.Capture model = target.saver().capture(values);
        try {
            return new TakenCheckpoint(now, tensors, model, target.run().apply(now), free);
        } catch (RuntimeException | Error e) {
            findings.values().forEach(Tensor::close);
            model.close();
            throw e;
        }
    }

    private void tell(TrainingReport.Checkpoint report) {
        if (report.isSaved()) {
            LOG.info("{} is written", report.folder());
        } else {
            String problem = report.problem().orElse("a checkpoint could not be written");
            LOG.warn("{}; the training goes on", problem);
            LOG.debug("why checkpoint-{} could not be written", report.step(), report.cause());
            problems.add(problem);
        }
        setup.listeners().tell(listener -> listener.onCheckpoint(report));
    }

    /** Waits for the one that is written, when the training has failed. */
    @Override
    public void close() {
        writer.close();
    }
}
