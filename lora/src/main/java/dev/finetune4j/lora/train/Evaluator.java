package dev.finetune4j.lora.train;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.data.Batch;
import java.util.List;
import java.util.function.DoubleSupplier;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Measures what a training came to, after its last step. A training that is done is never lost for lack of memory here: what
 * cannot be measured is NaN, and the report says so.
 */
final class Evaluator {
    private final CausalLM model;
    private final ForwardBackward passes;

    /** @param passes of the training; give their captured graphs up when memory runs out */
    Evaluator(CausalLM model, ForwardBackward passes) {
        this.model = model;
        this.passes = passes;
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

    /** The loss of a model on some rows, which may be infinite or no number. */
    Measured loss(CausalLM of, List<Batch> rows) {
        return measured(() -> EvalLoss.of(of, rows));
    }

    /** How many of the rows the trained model answers word for word. */
    Measured known(List<Batch> rows) {
        return measured(() -> ExactMatch.count(model, rows));
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
            if (!MemoryErrors.ranOut(e)) {
                throw e;
            }
            return passes.makeRoom() ? measured(measure) : new Measured(Double.NaN, false);
        }
    }
}
