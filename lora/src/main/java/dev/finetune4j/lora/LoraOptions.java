package dev.finetune4j.lora;

import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Choices for a LoRA adapter, given to {@link FineTuner.Builder#lora}. Not thread-safe; every method returns this object.
 * Values are checked together when the fine-tuner is built.
 */
public final class LoraOptions {
    private int rank = LoraSettings.defaults().rank();
    private @Nullable Double alpha;
    private double dropout;
    private boolean rankStabilized;
    private boolean weightDecomposed;
    private String @Nullable [] targets;

    LoraOptions() {}

    /** Columns of A and rows of B; 16 by default. */
    public LoraOptions rank(int value) {
        rank = value;
        return this;
    }

    /** The adapter's product is scaled by {@code alpha / rank}; alpha is twice the rank by default. */
    public LoraOptions alpha(double value) {
        alpha = value;
        return this;
    }

    /** Scales the product by {@code alpha / √rank} instead (rsLoRA), which suits high ranks; off by default. */
    public LoraOptions rankStabilized(boolean value) {
        rankStabilized = value;
        return this;
    }

    /** Trains the length of each row of the weight apart from its direction (DoRA); off by default. */
    public LoraOptions weightDecomposed(boolean value) {
        weightDecomposed = value;
        return this;
    }

    /** Share of the adapter's inputs that training sets to zero; 0 by default. */
    public LoraOptions dropout(double value) {
        dropout = value;
        return this;
    }

    /** Adapts the linears with these names, such as {@code "q_proj", "v_proj"}; all but the head by default. */
    public LoraOptions targets(String... names) {
        targets = names.clone();
        return this;
    }

    /**
     * The settings that follow from the choices.
     *
     * @throws dev.finetune4j.core.SettingsException naming every value that cannot work
     */
    LoraSettings settings() {
        TargetModules chosen = targets == null ? TargetModules.allLinear() : TargetModules.named(targets);
        double usualAlpha = 2.0 * Math.max(1, rank);
        return new LoraSettings(
                rank,
                alpha == null ? usualAlpha : alpha,
                dropout,
                chosen,
                rankStabilized,
                weightDecomposed,
                Map.of(),
                Map.of());
    }
}
