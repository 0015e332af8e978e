package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.time.Duration;
import java.util.Arrays;

/** Measures loss and metrics on held-out examples, in batches like those of the training. Confined to the training's thread. */
final class HeldOut {
    private final Objective objective;
    private final Evaluator evaluator;
    private final BatchLoader loader;

    /**
     * @param loader deals out the held-out examples
     * @param training gives its captured graphs up when memory runs out
     */
    HeldOut(CausalLM model, Objective objective, BatchLoader loader, ForwardBackward training) {
        this.objective = objective;
        this.loader = loader;
        this.evaluator = new Evaluator(model, objective, training);
    }

    /** Evaluates the model as a step has left it. */
    TrainingReport.Evaluation evaluate(StepReport after) {
        long start = System.nanoTime();
        loader.seek(new BatchLoader.Position(0, 0));
        double[] sums = new double[1 + 2 * objective.evaluationMetrics().size()];
        long terms = 0;
        for (int i = 0; i < loader.stepsPerEpoch(); i++) {
            for (Batch batch : loader.next().microBatches()) {
                double[] found = evaluator.sums(batch);
                Arrays.setAll(sums, k -> sums[k] + found[k]);
                terms += objective.terms(batch);
            }
        }
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
