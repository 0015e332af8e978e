package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.OptimizerBatch;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingException;
import dev.finetune4j.lora.train.TrainingReport;
import java.util.List;

/** Finds out after the last step what a training came to. */
final class OutcomeCheck {
    private static final String ADVICE = "; lower the learning rate, lengthen the warm-up, or compute in FP32";

    private final CausalLM model;
    private final Objective objective;
    private final Expectations expected;
    private final Communicator ranks;
    private final Evaluator evaluator;

    OutcomeCheck(
            CausalLM model, Objective objective, Expectations expected, Communicator ranks, ForwardBackward training) {
        this.model = model;
        this.objective = objective;
        this.expected = expected;
        this.ranks = ranks;
        this.evaluator = new Evaluator(model, objective, ranks, training);
    }

    /**
     * What came of a training.
     *
     * @param measured whether there was the memory to measure all that was asked
     * @param rows of a small data set whose targets are to be reproduced; else 0
     * @param known those of them that the model has learned by heart
     */
    record Findings(
            TrainingReport.Outcome outcome,
            List<StepReport> steps,
            TrainingReport.Losses losses,
            boolean measured,
            int rows,
            int known) {}

    /** What ends a training at a step that is not, or no longer, skipped. */
    static TrainingException failure(TrainingReport.NonFinite step, int skipped) {
        return new TrainingException(
                "step " + step.step() + ": the loss is " + step.loss() + " and the gradient norm " + step.gradNorm()
                        + (skipped > 0 ? ", after " + skipped + " such steps that were skipped" : "") + ADVICE,
                step);
    }

    private static void requireFinite(Evaluator.Measured measured, String what, int step) {
        if (measured.isThere() && !Double.isFinite(measured.value())) {
            throw new TrainingException(
                    "step " + step + ", the last: after its update " + what + measured.value() + ADVICE);
        }
    }

    /**
     * Measures the outcome. The loss on the rows of the first step is also what the loss of a next step is to the others: the
     * check that the last update left numbers.
     *
     * @throws TrainingException if it did not
     */
    Findings findings(
            TrainingReport.Outcome outcome, List<StepReport> steps, FirstBatches seen, FlatParameters parameters) {
        List<Batch> learned = objective.reproducesTargets() ? seen.epoch() : List.of();
        int rows = (int) ranks.sum(learned.stream().mapToInt(Batch::examples).sum());
        OptimizerBatch first = seen.firstStep();
        if (steps.isEmpty() || first == null) {
            return new Findings(
                    outcome, List.of(), new TrainingReport.Losses(Double.NaN, Double.NaN), true, rows, rows);
        }
        Evaluator.Measured tuned = Evaluator.isFinite(parameters.values())
                ? evaluator.loss(model, first)
                : new Evaluator.Measured(Double.NaN, true);
        int last = steps.get(steps.size() - 1).step();
        requireFinite(tuned, "the loss is ", last);
        requireFinite(evaluator.sizeElsewhere(), "the largest of the logits on other texts is ", last);
        double base = expected.base() == null
                ? steps.get(0).loss()
                : evaluator.loss(expected.base(), first).value();
        boolean counts = outcome == TrainingReport.Outcome.COMPLETED && tuned.isThere();
        Evaluator.Measured known = counts ? evaluator.exactMatches(learned) : new Evaluator.Measured(rows, true);
        return new Findings(
                outcome,
                steps,
                new TrainingReport.Losses(base, tuned.value()),
                tuned.isThere() && known.isThere() && !Double.isNaN(base),
                rows,
                known.isThere() ? (int) known.value() : rows);
    }
}
