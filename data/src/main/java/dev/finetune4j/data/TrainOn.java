package dev.finetune4j.data;

/** Which tokens of a conversation are learned. */
public enum TrainOn {
    /** Every answer with its end, save for those that a row's loss weights leave out. */
    ANSWERS,
    /** The last answer with its end. */
    LAST_ANSWER,
    /** All tokens, prompts and what the template writes included. */
    EVERYTHING
}
