package dev.finetune4j;

import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.lora.train.TrainingSettings;

/**
 * How the examples of a training become batches. Those of a micro-batch lie behind one another in one row where the model
 * keeps them apart at no cost; else they are padded, and examples of nearly the same length come together.
 *
 * @param rowTokens budget of rows that are packed beforehand and take the place of examples; 0 where examples are batched
 * @param layout packed where that is as exact as padding, and quicker; with the prompts of compared answers once where attention
 *     takes it and the answers cannot differ in their rotary frequencies
 * @param captured whether passes are captured by shape, so that shapes have to be few
 */
record Batching(int rowTokens, Collator.Layout layout, boolean captured) {
    /** Of positions that belong to no sequence: no loss and no result depends on it, but every vocabulary has it. */
    private static final int PAD_ID = 0;

    private static final int LEAST_PADDED = 16;

    /** @param longest tokens of the longest sequence of an example */
    static Batching of(FineTuning tuning, ModelConfig config, Placement placement, long longest) {
        return new Batching(
                tuning.encoding().packing(),
                layout(tuning, config, placement, longest),
                DeviceKernels.of(placement.device()).isAsync());
    }

    private static Collator.Layout layout(FineTuning tuning, ModelConfig config, Placement placement, long longest) {
        if (tuning.method().virtualTokens() > 0 || !CausalLM.supportsPacking(config, placement)) {
            return Collator.Layout.PADDED;
        }
        return tuning.objective().sequences() > 1 && CausalLM.supportsSharedPrefixes(config, placement, longest)
                ? Collator.Layout.SHARED
                : Collator.Layout.PACKED;
    }

    /** @param settings batch size, accumulation and seed */
    BatchLoader loader(EncodedDataset data, TrainingSettings settings) {
        int microBatch = settings.batchSize();
        int accumulation = settings.gradientAccumulation();
        if (rowTokens > 0) {
            Collator.Layout rows = layout == Collator.Layout.PADDED ? Collator.Layout.PACKED : layout;
            return BatchLoader.packed(
                    data,
                    rowTokens,
                    rows,
                    microBatch,
                    accumulation,
                    settings.seed(),
                    collator(new Collator.Multiple(rowTokens), rows));
        }
        if (layout != Collator.Layout.PADDED) {
            Collator collator = collator(new Collator.FewSizes(), layout);
            return new BatchLoader(data, microBatch, accumulation, settings.seed(), collator, true);
        }
        Collator collator = collator(new Collator.FewSizes(LEAST_PADDED), Collator.Layout.PADDED);
        if (data.isLazy()) {
            return new BatchLoader(data, microBatch, accumulation, settings.seed(), collator, true);
        }
        return BatchLoader.groupedByLength(data.examples(), microBatch, accumulation, settings.seed(), collator);
    }

    private Collator collator(Collator.Rounding rounding, Collator.Layout rows) {
        return new Collator(PAD_ID, captured ? rounding : new Collator.Multiple(1), rows);
    }
}
