package dev.finetune4j.core.generate;

/** Why a generation ended. */
public enum StopReason {
    /** The model produced one of its end tokens. */
    END_TOKEN,
    /** The limit on new tokens was reached. */
    MAX_NEW_TOKENS,
    /** The sequence reached the longest one that the model was made for. */
    CONTEXT_FULL,
    /** The thread was interrupted; its interrupt flag stays set. */
    INTERRUPTED
}
