package dev.finetune4j.lora;

import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.quant.QuantSettings;

/** What a fine-tuning trains. Immutable. */
public sealed interface TuningMethod {
    /**
     * A LoRA adapter on the weights as they are in the checkpoint.
     *
     * @param lora shape of the adapter
     */
    record Lora(LoraSettings lora) implements TuningMethod {}

    /**
     * A LoRA adapter on a base in 4 bits (<a href="https://arxiv.org/abs/2305.14314">QLoRA, Dettmers et al. 2023</a>).
     *
     * @param lora shape of the adapter
     * @param quantization form of the base's weights
     */
    record Qlora(LoraSettings lora, QuantSettings quantization) implements TuningMethod {}

    /** All weights of the model. */
    record Full() implements TuningMethod {}
}
