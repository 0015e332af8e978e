package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.data.batch.Batch;
import java.util.function.BooleanSupplier;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Enqueues the forward and backward passes of whole steps. Confined to the training's thread. */
final class StepPasses {
    private static final Logger LOG = LoggerFactory.getLogger(StepPasses.class);

    private final Setup setup;
    private final ForwardBackward passes;
    private final Tensor gradients;
    private final BooleanSupplier stops;
    private final FirstBatches seen;

    /**
     * @param gradients to which those of the micro-batches are added
     * @param stops whether to end before the next micro-batch
     */
    StepPasses(Setup setup, ForwardBackward passes, Tensor gradients, BooleanSupplier stops) {
        this.setup = setup;
        this.passes = passes;
        this.gradients = gradients;
        this.stops = stops;
        this.seen = new FirstBatches(setup.loader());
    }

    /** The batches on which the outcome is measured. */
    FirstBatches seen() {
        return seen;
    }

    /** Goes to where the data of a training go on. */
    void goTo(TrainingState state) {
        if (state.step() > 0) {
            seen.addFirst(setup.loader(), state.step());
            setup.loader().seek(state.position());
        }
    }

    /** Enqueues the micro-batches of the next step; null when cancelled before all of them were. */
    @Nullable
    Step next(int index, TrainingState.RandomState random) {
        Step step = new Step(index, setup.loader().next(), random, System.nanoTime());
        seen.add(step);
        try {
            return enqueue(step) ? step : null;
        } catch (RuntimeException e) {
            if (!MemoryErrors.ranOut(e) || !passes.freeGraphs()) {
                throw e;
            }
            LOG.info("the captured CUDA graphs were given up for memory; the step begins again");
            // The pass that failed may have added some of its gradients.
            gradients.zero_();
            return enqueue(step) ? step : null;
        }
    }

    /** Enqueues the micro-batches of a step. Returns whether all of them were. */
    boolean enqueue(Step step) {
        passes.clear();
        int before = setup.ranks().rank() * setup.settings().gradientAccumulation();
        for (int i = 0; i < step.batch().size(); i++) {
            // Of several ranks none leaves the others alone in the middle of a step.
            if (setup.ranks().size() == 1 && stops.getAsBoolean()) {
                return false;
            }
            if (i == step.microBatches().size()) {
                setup.objective().skip(setup.model());
                break;
            }
            Batch batch = step.microBatches().get(i);
            setup.doing().accept("training step " + (step.index() + 1) + " with " + size(batch));
            passes.run(
                    batch,
                    setup.objective().scale(step.batch(), i),
                    step.random().draw(before + i));
        }
        return true;
    }

    private static String size(Batch batch) {
        return batch.isPacked()
                ? batch.sequences().size() + " sequences of " + batch.length() + " tokens together"
                : batch.rows() + " x " + batch.length() + " tokens";
    }
}
