package dev.finetune4j.core.nn;

import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * The table that gives each token its vector, whatever the form of its weight: plain, or with an adapter around it.
 */
public interface Embedding extends AutoCloseable {
    /**
     * Looks tokens up.
     *
     * @param tokens ids, int64, shape (B, T)
     * @return shape (B, T, D), in the type of the weight
     */
    Tensor forward(Tensor tokens);

    /** Rows of the table, V. */
    long vocabulary();

    /** Length of a row, D. */
    long width();

    /** The factor on every looked-up row; 1 for most models. */
    double scale();

    /**
     * The rows as a dense matrix, not scaled, in a tensor that the caller's scope owns.
     *
     * @return shape (V, D), float32
     */
    Tensor denseWeight();

    /** The tensors that full fine-tuning can train, by the suffix of their Hugging Face name. */
    Map<String, Tensor> parameters();

    /** Frees the tensors that this embedding owns. Closing twice is fine. */
    @Override
    void close();
}
