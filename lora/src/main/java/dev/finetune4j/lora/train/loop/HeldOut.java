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
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Measures loss and metrics on held-out examples, in batches like those of the training, and asks what else is to be asked. Confined to
 * the training's thread.
 */
final class HeldOut {
    /** What rank 0 says to the others between two steps: that it evaluates, or that nothing more is to be done. */
    static final long EVALUATE = 1;

    static final long NO_MORE = 0;

    private final Objective objective;
    private final Evaluator evaluator;
    private final @Nullable BatchLoader loader;
    private final @Nullable Supplier<Map<String, Double>> exams;
    private final Communicator ranks;

    /**
     * @param loader deals out the held-out examples, to each rank its share; null without
     * @param exams other metrics by name, which rank 0 asks for; null for none
     * @param ranks measure together, when rank 0 begins
     * @param training gives its captured graphs up when memory runs out
     */
    HeldOut(
            CausalLM model,
            Objective objective,
            @Nullable BatchLoader loader,
            @Nullable Supplier<Map<String, Double>> exams,
            Communicator ranks,
            ForwardBackward training) {
        this.objective = objective;
        this.loader = loader;
        this.exams = exams;
        this.ranks = ranks;
        this.evaluator = new Evaluator(model, objective, ranks, training);
    }

    /** Evaluates the model as a step has left it. On the other ranks it is called when rank 0 says so. */
    TrainingReport.Evaluation evaluate(StepReport after) {
        long start = System.nanoTime();
        if (ranks.isFirst()) {
            ranks.ofFirst(EVALUATE);
        }
        double[] sums = new double[1 + 2 * objective.evaluationMetrics().size()];
        Terms terms = loader == null ? new Terms(0, 0) : add(loader, sums);
        Map<String, Double> metrics = new LinkedHashMap<>(StepReports.means(objective.evaluationMetrics(), sums));
        if (exams != null && ranks.isFirst()) {
            metrics.putAll(exams.get());
        }
        return new TrainingReport.Evaluation(
                after.step(),
                after.totalSteps(),
                after.epoch(),
                sums[0] / terms.weight,
                metrics,
                terms.number,
                Duration.ofNanos(System.nanoTime() - start));
    }

    /** What the losses are of: how many terms, and what these count together. */
    private record Terms(long number, double weight) {}

    /** Adds what all ranks find of all examples, and gives the terms. */
    private Terms add(BatchLoader examples, double... sums) {
        examples.seek(new BatchLoader.Position(0, 0));
        long terms = 0;
        double weight = 0;
        for (int i = 0; i < examples.stepsPerEpoch(); i++) {
            OptimizerBatch batches = examples.next();
            double[] found = evaluator.ownSums(batches);
            Arrays.setAll(sums, k -> sums[k] + found[k]);
            terms += batches.ofAllRanks().stream().mapToInt(objective::terms).sum();
            weight +=
                    batches.ofAllRanks().stream().mapToDouble(objective::weight).sum();
        }
        Arrays.setAll(sums, k -> ranks.sum(sums[k]));
        return new Terms(terms, weight);
    }
}
