package dev.finetune4j;

import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.train.LoraPlus;
import dev.finetune4j.quant.QuantSettings;
import org.jspecify.annotations.Nullable;

/** What a fine-tuning trains. Immutable. */
sealed interface TuningMethod {
    /** Peak learning rate when none is given; of methods that depend on it, for a model of width 4096. */
    double usualRate();

    /** Whether narrow models need a higher learning rate. */
    boolean dependsOnWidth();

    /**
     * An adapter; on a base in 4 bits a LoRA adapter is QLoRA
     * (<a href="https://arxiv.org/abs/2305.14314">Dettmers et al. 2023</a>).
     *
     * @param settings kind and shape of the adapter
     * @param quantization form of the base's weights; null to leave them as they are in the folder
     * @param plus gives B its own learning rate; null to train all factors alike
     */
    record WithAdapter(
            AdapterSettings settings,
            @Nullable QuantSettings quantization,
            @Nullable LoraPlus plus) implements TuningMethod {
        @Override
        public double usualRate() {
            return settings.usualLearningRate();
        }

        @Override
        public boolean dependsOnWidth() {
            return settings instanceof LoraSettings;
        }

        /** Whether the model answers as the base does before anything is trained. */
        boolean startsAsBase() {
            return settings.virtualTokens() == 0;
        }
    }

    /** All weights of the model. */
    record Full() implements TuningMethod {
        @Override
        public double usualRate() {
            return 2e-5;
        }

        @Override
        public boolean dependsOnWidth() {
            return true;
        }
    }
}
