package dev.finetune4j.lora.preference;

/** An objective that learns from preferences between answers. Its settings are its components; immutable. */
public sealed interface PreferenceLoss permits PairLoss, Kto {
    /** Whether the scores must hold those of the frozen reference model. */
    boolean needsReference();
}
