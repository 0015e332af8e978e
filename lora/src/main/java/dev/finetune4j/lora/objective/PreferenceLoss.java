package dev.finetune4j.lora.objective;

/** An objective that learns from preferences between answers. Its settings are its components; immutable. */
public sealed interface PreferenceLoss permits PairLoss, Kto {
    /** Whether the log-probabilities of the frozen reference model are needed. */
    boolean needsReference();
}
