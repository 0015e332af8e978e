package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.OptimizerBatch;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.time.Duration;
import java.util.Arrays;

/** Measures loss and metrics on held-out examples, in batches like those of the training. Confined to the training's thread. */
final class HeldOut {
    /** What rank 0 says to the others between two steps: that it evaluates, or that nothing more is to be done. */
    static final long EVALUATE = 1;

    static final long NO_MORE = 0;

    private final Objective objective;
    private final Evaluator evaluator;
    private final BatchLoader loader;
    private final Communicator ranks;

    /**
     * @param loader deals out the held-out examples, to each rank its share
     * @param ranks measure together, when rank 0 begins
     * @param training gives its captured graphs up when memory runs out
     */
    HeldOut(CausalLM model, Objective objective, BatchLoader loader, Communicator ranks, ForwardBackward training) {
        this.objective = objective;
        this.loader = loader;
        this.ranks = ranks;
        this.evaluator = new Evaluator(model, objective, ranks, training);
    }

    /** Evaluates the model as a step has left it. On the other ranks it is called when rank 0 says so. */
    TrainingReport.Evaluation evaluate(StepReport after) {
        long start = System.nanoTime();
        loader.seek(new BatchLoader.Position(0, 0));
        if (ranks.isFirst()) {
            ranks.ofFirst(EVALUATE);
        }
        double[] sums = new double[1 + 2 * objective.evaluationMetrics().size()];
        long terms = 0;
        for (int i = 0; i < loader.stepsPerEpoch(); i++) {
            OptimizerBatch batches = loader.next();
            double[] found = evaluator.ownSums(batches);
            Arrays.setAll(sums, k -> sums[k] + found[k]);
            terms += batches.ofAllRanks().stream().mapToInt(objective::terms).sum();
        }
        Arrays.setAll(sums, k -> ranks.sum(sums[k]));
        return new TrainingReport.Evaluation(
                after.step(),
                after.totalSteps(),
                after.epoch(),
                sums[0] / terms,
                StepReports.means(objective.evaluationMetrics(), sums),
                terms,
                Duration.ofNanos(System.nanoTime() - start));
    }
}
