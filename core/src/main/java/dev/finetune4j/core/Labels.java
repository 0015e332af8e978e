package dev.finetune4j.core;

/** What is common to all labels, the ids that the positions of a sequence have to predict. */
public final class Labels {
    /** The label of a position that has nothing to predict: PyTorch's {@code ignore_index}. */
    public static final int IGNORE = -100;

    private Labels() {}
}
