package dev.finetune4j.core.text;

/** Who speaks in a {@link ChatMessage}. */
public enum Role {
    /** Instructions that stand before the conversation. */
    SYSTEM,
    /** The person who asks. */
    USER,
    /** The model; these messages are what training teaches. */
    ASSISTANT,
    /** The result of a tool that the assistant called. */
    TOOL
}
