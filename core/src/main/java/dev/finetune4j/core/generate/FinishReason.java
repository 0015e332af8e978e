package dev.finetune4j.core.generate;

/** Why a generation ended. */
public enum FinishReason {
    /** The model produced one of its end tokens, or the text a stop string. */
    STOP,
    /** The model asks for functions to be called. */
    TOOL_CALLS,
    /** The limit on new tokens was reached. */
    LENGTH,
    /** The sequence reached the longest one that the model was made for. */
    CONTEXT_LENGTH,
    /** The thread was interrupted; its interrupt flag stays set. */
    INTERRUPTED,
    /** {@link Completion#cancel} was called, or the stream of the reply was closed. */
    CANCELLED
}
