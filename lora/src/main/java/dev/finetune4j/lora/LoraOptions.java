package dev.finetune4j.lora;

import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.TargetModules;

/**
 * Choices for a LoRA adapter, given to {@link FineTuner.Builder#lora}. Starts from {@link LoraSettings#defaults()}. Not
 * thread-safe; every method returns this object.
 */
public final class LoraOptions {
    private LoraSettings settings = LoraSettings.defaults();

    LoraOptions() {}

    /** Columns of A and rows of B; 16 by default. Sets alpha to twice the rank unless {@link #alpha} follows. */
    public LoraOptions rank(int rank) {
        settings = new LoraSettings(rank, 2.0 * rank, settings.dropout(), settings.targets());
        return this;
    }

    /** The adapter's product is scaled by {@code alpha / rank}. */
    public LoraOptions alpha(double alpha) {
        settings = new LoraSettings(settings.rank(), alpha, settings.dropout(), settings.targets());
        return this;
    }

    /** Share of the adapter's inputs that training sets to zero; 0 by default. */
    public LoraOptions dropout(double dropout) {
        settings = new LoraSettings(settings.rank(), settings.alpha(), dropout, settings.targets());
        return this;
    }

    /** Adapts the linears with these names, such as {@code "q_proj", "v_proj"}; all but the head by default. */
    public LoraOptions targets(String... names) {
        settings = new LoraSettings(settings.rank(), settings.alpha(), settings.dropout(), TargetModules.named(names));
        return this;
    }

    LoraSettings settings() {
        return settings;
    }
}
