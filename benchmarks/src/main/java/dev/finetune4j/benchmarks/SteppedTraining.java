package dev.finetune4j.benchmarks;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.Semaphore;
import org.jspecify.annotations.Nullable;

/**
 * A training that goes one step at a time. The trainer knows only whole trainings, so it runs in a thread of its own, where
 * its listener waits after each step until the next one is asked for.
 */
final class SteppedTraining implements AutoCloseable {
    /** Batches before the first comes again. */
    private static final int BATCHES = 4;

    /**
     * What a step trains on.
     *
     * @param batch sequences
     * @param tokens of each
     */
    record Size(int batch, int tokens) {}

    private final RandomModel shape;
    private final WeightForm form;
    private final Placement placement;
    private final Size size;
    private final boolean checkpointing;
    private final Semaphore asked = new Semaphore(0);
    private final Semaphore done = new Semaphore(0);
    private final Thread thread;
    private volatile boolean ended;
    private volatile double loss;
    private volatile @Nullable Throwable failure;

    /** Loads the model and waits before the first step. */
    SteppedTraining(RandomModel shape, WeightForm form, Placement placement, Size size, boolean checkpointing)
            throws IOException {
        this.shape = shape;
        this.form = form;
        this.placement = placement;
        this.size = size;
        this.checkpointing = checkpointing;
        thread = new Thread(this::train, "training");
        thread.setDaemon(true);
        thread.start();
        done.acquireUninterruptibly();
        if (failure != null) {
            throw new IOException("the training did not start", failure);
        }
    }

    private void train() {
        try (CausalLM base = shape.load(form.factory(), placement);
                PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
            CausalLM model = adapter.attachTo(base)
                    .withActivations(checkpointing ? ActivationCheckpointing.all() : ActivationCheckpointing.none());
            BatchLoader loader = new BatchLoader(
                    TrainCells.examples(shape, BATCHES * size.batch(), size.tokens()),
                    size.batch(),
                    1,
                    1,
                    new Collator(0, 1),
                    false);
            TrainingSettings settings = TrainingSettings.builder()
                    .maxSteps(Integer.MAX_VALUE)
                    .learningRate(1e-5)
                    .schedule(LearningRateSchedule.constant(), 0)
                    .build();
            new Trainer(model, adapter.trainable(), loader, settings, List.of(new Turns()), () -> ended).run();
        } catch (IOException | RuntimeException | Error e) {
            failure = e;
        } finally {
            ended = true;
            done.release();
        }
    }

    private final class Turns implements TrainingListener {
        @Override
        public void onStart(int totalSteps, long trainable) {
            next();
        }

        @Override
        public void onStep(StepReport report, Control control) {
            loss = report.loss();
            next();
        }

        private void next() {
            done.release();
            asked.acquireUninterruptibly();
        }
    }

    /**
     * Runs the next step to its end.
     *
     * @return its loss
     * @throws IllegalStateException if the training has failed, now or before
     */
    double step() throws InterruptedException {
        asked.release();
        done.acquire();
        if (ended) {
            done.release();
            throw new IllegalStateException("the training has ended", failure);
        }
        return loss;
    }

    /** Ends the training and frees the model. */
    @Override
    public void close() throws InterruptedException {
        ended = true;
        asked.release();
        thread.join();
    }
}
