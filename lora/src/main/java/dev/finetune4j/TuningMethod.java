package dev.finetune4j;

import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.train.loop.LoraPlus;
import dev.finetune4j.lora.train.loop.ParameterGroups;
import dev.finetune4j.quant.QuantSettings;
import org.jspecify.annotations.Nullable;

/** What a fine-tuning trains. Immutable. */
sealed interface TuningMethod {
    /** Peak learning rate when none is given; of methods that depend on it, for a model of width 4096. */
    double usualRate();

    /** Whether narrow models need a higher learning rate. */
    boolean dependsOnWidth();

    /** Kind and shape of the adapter; null when the weights themselves are trained. */
    @Nullable
    AdapterSettings adapter();

    /** Form of the base's weights; null to leave them as they are in the folder. */
    @Nullable
    QuantSettings quantization();

    /** Which parameters learn at which rate, when the peak is the given one. */
    ParameterGroups groups(double learningRate);

    /** Positions that stand before each example. */
    default int virtualTokens() {
        AdapterSettings adapter = adapter();
        return adapter == null ? 0 : adapter.virtualTokens();
    }

    /**
     * An adapter; on a base in 4 bits a LoRA adapter is QLoRA
     * (<a href="https://arxiv.org/abs/2305.14314">Dettmers et al. 2023</a>).
     *
     * @param plus gives B its own learning rate; null to train all factors alike
     */
    record WithAdapter(
            AdapterSettings adapter,
            @Nullable QuantSettings quantization,
            @Nullable LoraPlus plus) implements TuningMethod {
        @Override
        public double usualRate() {
            return adapter.usualLearningRate();
        }

        @Override
        public boolean dependsOnWidth() {
            return adapter instanceof LoraSettings;
        }

        @Override
        public ParameterGroups groups(double learningRate) {
            return plus == null ? ParameterGroups.ONE : ParameterGroups.of(plus, learningRate);
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

        @Override
        public @Nullable AdapterSettings adapter() {
            return null;
        }

        @Override
        public @Nullable QuantSettings quantization() {
            return null;
        }

        @Override
        public ParameterGroups groups(double learningRate) {
            return ParameterGroups.ONE;
        }
    }
}
