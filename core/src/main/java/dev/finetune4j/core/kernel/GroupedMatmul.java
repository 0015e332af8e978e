package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.TensorScope;
import org.bytedeco.pytorch.Dispatcher;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Tensor;

/**
 * Products of rows with the matrix of the group that each belongs to, libtorch's {@code _grouped_mm}: on a GPU one launch for all
 * groups, whose sizes stay on the device. Rows of a group lie behind one another. Records no gradients. Thread-safe.
 *
 * <p>The binding has no method for it, so it is called by name.
 */
public final class GroupedMatmul {
    /** What rows, in bfloat16, come in multiples of. */
    public static final int ALIGNED_NUMBERS = 8;

    private static final int NOTHING_MORE = 2;

    private final OperatorHandle operator;

    GroupedMatmul() {
        try (TensorScope scope = new TensorScope()) {
            operator = scope.release(Dispatcher.realSingleton().findSchemaOrThrow("aten::_grouped_mm", ""));
        }
    }

    /**
     * {@code y = x Wᵀ} with the weight of each row's group.
     *
     * @param x shape (rows, in)
     * @param weights shape (groups, out, in)
     * @param ends how many rows belong to each group and those before it, int32, shape (groups)
     * @return shape (rows, out)
     */
    public Tensor forward(Tensor x, Tensor weights, Tensor ends) {
        return multiply(x, weights.transpose(1, 2), ends);
    }

    /**
     * The gradient of the input, {@code dx = dy W}.
     *
     * @param dy shape (rows, out)
     * @return shape (rows, in)
     */
    public Tensor backward(Tensor dy, Tensor weights, Tensor ends) {
        return multiply(dy, weights, ends);
    }

    /**
     * The gradient of the weights, {@code dyᵀ x} of the rows of each group; zeros for a group without rows.
     *
     * @param dy shape (rows, out)
     * @param x shape (rows, in)
     * @return shape (groups, out, in)
     */
    public Tensor weightGradient(Tensor dy, Tensor x, Tensor ends) {
        return multiply(dy.t(), x, ends);
    }

    private Tensor multiply(Tensor first, Tensor second, Tensor ends) {
        try (TensorScope scope = new TensorScope()) {
            IValueVector stack = new IValueVector();
            stack.push_back(new IValue(first));
            stack.push_back(new IValue(second));
            stack.push_back(new IValue(ends));
            for (int i = 0; i < NOTHING_MORE; i++) {
                stack.push_back(new IValue());
            }
            Dispatcher.realSingleton().callBoxed(operator, stack);
            // A handle of its own: the one in the stack goes with it.
            return scope.keep(stack.get(0).toTensor().detach());
        }
    }
}
