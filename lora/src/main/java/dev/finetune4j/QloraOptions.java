package dev.finetune4j;

import dev.finetune4j.quant.QuantSettings;

/** Choices for QLoRA, given to {@link FineTunerBuilder#qlora}: those of LoRA and the form of the 4-bit base. */
public final class QloraOptions extends LoraChoices<QloraOptions> {
    private QuantSettings quantization = QuantSettings.nf4();

    QloraOptions() {}

    @Override
    QloraOptions self() {
        return this;
    }

    /** The form of the base's weights; NF4 in blocks of 64 with double quantization by default. */
    public QloraOptions quantization(QuantSettings form) {
        quantization = form;
        return this;
    }

    QuantSettings quantization() {
        return quantization;
    }
}
