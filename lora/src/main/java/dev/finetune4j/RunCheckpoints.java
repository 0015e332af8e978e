package dev.finetune4j;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.lora.adapter.peft.AdapterCopy;
import dev.finetune4j.lora.export.HuggingFaceWriter;
import dev.finetune4j.lora.export.ModelContent;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.checkpoint.CheckpointFolder;
import dev.finetune4j.lora.train.checkpoint.CheckpointTarget;
import dev.finetune4j.lora.train.checkpoint.ModelSaver;
import dev.finetune4j.lora.train.checkpoint.SavedCheckpoint;
import dev.finetune4j.lora.train.loop.Trainer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The checkpoints of one run: the folder that it has claimed, and the one that it goes on from. */
final class RunCheckpoints implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(RunCheckpoints.class);

    private final CheckpointChoice choice;
    private final @Nullable CheckpointFolder folder;
    private final @Nullable SavedCheckpoint saved;

    private RunCheckpoints(
            CheckpointChoice choice, @Nullable CheckpointFolder folder, @Nullable SavedCheckpoint saved) {
        this.choice = choice;
        this.folder = folder;
        this.saved = saved;
    }

    /**
     * Claims the folder and finds what is gone on from.
     *
     * @param writes false for a rank that leaves writing to rank 0, and claims nothing
     * @throws SettingsException when another training writes there, or has left checkpoints that this one would mix with its own
     * @throws ModelFileException when the checkpoint to go on from is missing or damaged
     * @throws dev.finetune4j.core.FineTune4jException when nothing can be written to the folder
     */
    static RunCheckpoints open(CheckpointChoice choice, boolean writes) {
        Path path = choice.folder();
        CheckpointFolder claimed = path == null || !writes ? null : CheckpointFolder.claim(path);
        try {
            SavedCheckpoint saved = null;
            if (choice.from() != null) {
                saved = required(choice.from());
            } else if (path != null && choice.resumes()) {
                saved = CheckpointFolder.latest(path).orElse(null);
                if (saved == null) {
                    LOG.info("{} holds no checkpoint, so the training begins anew", path);
                }
            }
            if (path != null) {
                requireOwn(path, saved, choice.resumes());
            }
            if (saved != null) {
                LOG.info("the training goes on from {}", saved.folder());
            }
            return new RunCheckpoints(choice, claimed, saved);
        } catch (RuntimeException | Error e) {
            if (claimed != null) {
                claimed.close();
            }
            throw e;
        }
    }

    private static SavedCheckpoint required(Path from) {
        if (SavedCheckpoint.isOne(from) || CheckpointFolder.all(from).isEmpty()) {
            return SavedCheckpoint.read(from);
        }
        return CheckpointFolder.latest(from).orElseThrow();
    }

    /** @param latest whether later checkpoints were seen to be damaged */
    private static void requireOwn(Path folder, @Nullable SavedCheckpoint saved, boolean latest) {
        NavigableMap<Integer, Path> others = CheckpointFolder.all(folder);
        if (saved == null && !others.isEmpty()) {
            throw new SettingsException(List.of(folder + " holds "
                    + others.lastEntry().getValue().getFileName() + " of an earlier training; call resume()"
                    + " to go on from it, or choose another folder"));
        }
        if (saved != null && !latest) {
            Map.Entry<Integer, Path> later = others.higherEntry(saved.state().step());
            if (later != null) {
                throw new SettingsException(
                        List.of(folder + " holds " + later.getValue().getFileName() + ", which is later than "
                                + saved.folder() + "; choose another folder for the checkpoints of this training, or"
                                + " delete the later ones"));
            }
        }
    }

    /**
     * The memory plan of the run. One that goes on recomputes the blocks that it did before, if that fits and nothing else was
     * chosen.
     */
    MemoryPlan plan(TrainingPlan planner, EncodedDataset data, BatchLoader loader, TrainingSettings settings) {
        if (saved != null) {
            RunRecord.Compute before = RunRecord.settings(saved.folder().resolve(SavedCheckpoint.RUN), saved.run())
                    .compute();
            FineTuning tuning = planner.tuning();
            TrainingPlan asBefore =
                    planner.with(tuning.with(tuning.compute().recomputing(before.activationCheckpointing())));
            MemoryPlan plan = asBefore.of(data, loader, settings);
            if (plan.fits()) {
                return plan;
            }
        }
        return planner.of(data, loader, settings);
    }

    /**
     * Checks that the training goes on as it began.
     *
     * @throws SettingsException naming all that is different and may not be
     */
    void requireSame(RunRecord now, int stepsPerEpoch) {
        if (saved == null) {
            return;
        }
        List<String> problems = new ArrayList<>(now.differences(saved.run()));
        if (problems.isEmpty() && saved.state().stepsPerEpoch() != stepsPerEpoch) {
            problems.add("an epoch has " + stepsPerEpoch + " steps, but had "
                    + saved.state().stepsPerEpoch() + "; train on as many processes as then");
        }
        int totalSteps = now.settings().training().totalSteps(stepsPerEpoch);
        if (saved.state().step() > totalSteps) {
            problems.add("it is at step " + saved.state().step() + ", but the training has " + totalSteps
                    + " steps; raise epochs or maxSteps");
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems.stream()
                    .map(problem -> saved.folder() + " cannot be gone on from: " + problem)
                    .toList());
        }
    }

    /** Lets a trainer go on and write its checkpoints. */
    void connect(Trainer trainer, LanguageModel base, @Nullable Adapter adapter, RunRecord record) {
        if (saved != null) {
            trainer.resumingFrom(
                    saved, adapter == null ? Map.of() : adapter.peft().frozen());
        }
        if (folder != null) {
            trainer.checkpointing(new CheckpointTarget(
                    folder,
                    choice.settings(),
                    saver(base, adapter),
                    adapter == null ? Map.of() : adapter.peft().frozen(),
                    state -> record.content(RunResult.of(state))));
        }
    }

    private static ModelSaver saver(LanguageModel base, @Nullable Adapter adapter) {
        if (adapter == null) {
            return values -> new Writing(
                    folder -> {
                        try (Lifetime.Use use = base.model().use()) {
                            Precision precision = base.model().placement().precision();
                            new HuggingFaceWriter(precision)
                                    .write(
                                            ModelContent.of(
                                                    base.model(),
                                                    values,
                                                    base.files(),
                                                    base.record().ofModel(),
                                                    precision),
                                            folder);
                        }
                    },
                    () -> {});
        }
        return values -> {
            AdapterCopy copy = adapter.copy();
            return new Writing(folder -> adapter.save(copy, folder, null), copy::close);
        };
    }

    private record Writing(Consumer<Path> writer, Runnable release) implements ModelSaver.Capture {
        @Override
        public void write(Path folder) {
            writer.accept(folder);
        }

        @Override
        public void close() {
            release.run();
        }
    }

    @Override
    public void close() {
        if (folder != null) {
            folder.close();
        }
    }
}
