package dev.finetune4j.core.nn;

import java.util.List;
import org.bytedeco.pytorch.Tensor;

/** The weights of several frozen linears with one input, as one matrix whose rows are theirs in order. */
public interface StackedWeights {
    /**
     * {@code y += x Wᵀ}.
     *
     * @param y shape (n, sum of the outputs), contiguous
     * @param x shape (n, in)
     */
    void addProduct(Tensor y, Tensor x);

    /**
     * {@code dx += dy W}.
     *
     * @param dx shape (n, in)
     * @param gradient shape (n, sum of the outputs), contiguous
     */
    void addInputGradient(Tensor dx, Tensor gradient);

    /** Each linear for itself, on its columns. */
    static StackedWeights oneByOne(List<Linear> linears) {
        return new StackedWeights() {
            @Override
            public void addProduct(Tensor y, Tensor x) {
                long start = 0;
                for (Linear linear : linears) {
                    linear.addProduct(y.narrow(1, start, linear.outFeatures()), x);
                    start += linear.outFeatures();
                }
            }

            @Override
            public void addInputGradient(Tensor dx, Tensor gradient) {
                long start = 0;
                for (Linear linear : linears) {
                    linear.addInputGradient(dx, gradient.narrow(1, start, linear.outFeatures()));
                    start += linear.outFeatures();
                }
            }
        };
    }
}
