package dev.finetune4j.lora.adapter;

/** Which biases of the base's linears are trained beside a LoRA adapter; PEFT's {@code bias}. */
public enum BiasTraining {
    /** None. */
    NONE,
    /** Those of the linears that have an adapter. */
    LORA_ONLY,
    /** Those of all linears. */
    ALL
}
