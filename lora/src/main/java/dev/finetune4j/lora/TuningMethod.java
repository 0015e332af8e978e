package dev.finetune4j.lora;

import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.train.LoraPlus;
import dev.finetune4j.quant.QuantSettings;
import org.jspecify.annotations.Nullable;

/** What a fine-tuning trains. Immutable. */
sealed interface TuningMethod {
    /**
     * An adapter; on a base in 4 bits a LoRA adapter is QLoRA
     * (<a href="https://arxiv.org/abs/2305.14314">Dettmers et al. 2023</a>).
     *
     * @param settings kind and shape of the adapter
     * @param quantization form of the base's weights; null to leave them as they are in the checkpoint
     * @param plus gives B its own learning rate; null to train all factors alike
     * @param usualLearningRate peak learning rate when none is given
     */
    record WithAdapter(
            AdapterSettings settings,
            @Nullable QuantSettings quantization,
            @Nullable LoraPlus plus,
            double usualLearningRate)
            implements TuningMethod {}

    /** All weights of the model. */
    record Full() implements TuningMethod {}
}
