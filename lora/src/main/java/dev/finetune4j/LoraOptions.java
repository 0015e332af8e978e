package dev.finetune4j;

/** Choices for a LoRA adapter, given to {@link FineTunerBuilder#lora}. */
public final class LoraOptions extends LoraChoices<LoraOptions> {
    LoraOptions() {}

    @Override
    LoraOptions self() {
        return this;
    }
}
