package dev.finetune4j.lora.train.loop;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.data.DataReport;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * What is known of a training beforehand, by which its outcome is judged. Immutable.
 *
 * @param base the model without what is trained, where that changes its answers from the start, as virtual tokens do; null
 *     where the training starts from the base's own answers
 * @param data what became of the data set so far; null when unknown
 * @param usualRate peak learning rate that suits what is trained
 * @param highestRate peak learning rate above which such a training does not learn
 */
public record Expectations(
        @Nullable CausalLM base, @Nullable Supplier<DataReport> data, double usualRate, double highestRate) {
    /** Nothing is known. */
    public static Expectations none() {
        return new Expectations(null, null, Double.NaN, Double.POSITIVE_INFINITY);
    }

    /** What became of the data set so far; null when unknown. */
    @Nullable
    DataReport dataReport() {
        return data == null ? null : data.get();
    }
}
