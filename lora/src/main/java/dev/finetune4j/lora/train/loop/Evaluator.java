package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.data.batch.Batch;
import dev.finetune4j.data.batch.OptimizerBatch;
import dev.finetune4j.lora.objective.Objective;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleSupplier;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Evaluates a model by the objective of its training, without gradients and dropout. A training that is done is never lost for
 * lack of memory here: what cannot be measured is NaN, and the report says so.
 */
final class Evaluator {
    private static final int PROBED_TOKENS = 32;

    private final CausalLM model;
    private final Objective objective;
    private final Communicator ranks;
    private final ForwardBackward training;

    /**
     * @param ranks measure together
     * @param training whose captured graphs are given up when memory runs out
     */
    Evaluator(CausalLM model, Objective objective, Communicator ranks, ForwardBackward training) {
        this.model = model;
        this.objective = objective;
        this.ranks = ranks;
        this.training = training;
    }

    /** Whether all of these values are numbers. */
    static boolean isFinite(Tensor values) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            // The greatest size: nothing is copied, and what is no number stays none.
            Scalar greatest = new Scalar(Double.POSITIVE_INFINITY);
            return Double.isFinite(
                    torch.linalg_vector_norm(values, greatest, new long[0], false, new ScalarTypeOptional())
                            .item_double());
        }
    }

    /**
     * The size of what the trained model makes of tokens from all over its vocabulary, which is no number where it is spoiled: the
     * rows that were trained need not show it, as weights beyond all bounds become zeros in the norms that follow them.
     */
    Measured sizeElsewhere() {
        return measured(() -> {
            long[] ids = new long[PROBED_TOKENS];
            Arrays.setAll(ids, i -> (long) i * model.config().vocabSize() / ids.length);
            try (Lifetime.Use use = model.use();
                    TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                Tensor hidden = model.hidden(ModelInput.padded(model.tokens(ids, 1, ids.length))); // (1, T, D)
                return model.logits(hidden).abs().max().item_double();
            }
        });
    }

    /** The mean loss of a model over the terms of a step on all ranks, by their weights, which may be infinite or no number. */
    Measured loss(CausalLM of, OptimizerBatch step) {
        Measured sum = overRanks(ownSum(of, step));
        double weight =
                step.ofAllRanks().stream().mapToDouble(objective::weight).sum();
        return new Measured(sum.value() / weight, sum.isThere());
    }

    /** The loss of a model summed over the terms of this rank's share of a step. */
    Measured ownSum(CausalLM of, OptimizerBatch step) {
        return measured(() -> {
            double sum = 0;
            for (Batch batch : step.microBatches()) {
                sum += objective.evaluate(of, batch)[0];
            }
            if (step.microBatches().size() < step.size()) {
                objective.skip(of);
            }
            return sum;
        });
    }

    /** What {@link Objective#evaluate} finds of the trained model in this rank's share; no numbers without the memory to find them. */
    double[] ownSums(OptimizerBatch step) {
        double[] sums = new double[1 + 2 * objective.evaluationMetrics().size()];
        Measured measured = measured(() -> {
            Arrays.fill(sums, 0);
            for (Batch batch : step.microBatches()) {
                double[] found = objective.evaluate(model, batch);
                Arrays.setAll(sums, i -> sums[i] + found[i]);
            }
            if (step.microBatches().size() < step.size()) {
                objective.skip(model);
            }
            return sums[0];
        });
        if (!measured.isThere()) {
            Arrays.fill(sums, Double.NaN);
        }
        return sums;
    }

    /** How many of the rows, this rank's and those of the others, the trained model answers word for word. */
    Measured exactMatches(List<Batch> own) {
        return overRanks(measured(() -> ExactMatch.count(model, own)));
    }

    private Measured overRanks(Measured own) {
        return new Measured(ranks.sum(own.value()), !ranks.any(!own.isThere()));
    }

    /**
     * A number, if there was the memory to find it.
     *
     * @param value NaN without
     */
    record Measured(double value, boolean isThere) {}

    private Measured measured(DoubleSupplier measure) {
        try {
            return new Measured(measure.getAsDouble(), true);
        } catch (RuntimeException e) {
            boolean othersWait = objective.needsAllRanks() && ranks.size() > 1;
            if (!MemoryErrors.ranOut(e) || othersWait) {
                throw e;
            }
            return training.freeGraphs() ? measured(measure) : new Measured(Double.NaN, false);
        }
    }
}
