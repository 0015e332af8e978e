package dev.finetune4j.lora;

import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.quant.QuantSettings;

/**
 * Choices for QLoRA, given to {@link FineTuner.Builder#qlora}: those of LoRA and the form of the 4-bit base. Not
 * thread-safe; every method returns this object.
 */
public final class QloraOptions {
    private final LoraOptions lora = new LoraOptions();
    private QuantSettings quantization = QuantSettings.nf4();

    QloraOptions() {}

    /** See {@link LoraOptions#rank}. */
    public QloraOptions rank(int rank) {
        lora.rank(rank);
        return this;
    }

    /** See {@link LoraOptions#alpha}. */
    public QloraOptions alpha(double alpha) {
        lora.alpha(alpha);
        return this;
    }

    /** See {@link LoraOptions#rankStabilized}. */
    public QloraOptions rankStabilized(boolean value) {
        lora.rankStabilized(value);
        return this;
    }

    /** See {@link LoraOptions#weightDecomposed}. */
    public QloraOptions weightDecomposed(boolean value) {
        lora.weightDecomposed(value);
        return this;
    }

    /** See {@link LoraOptions#dropout}. */
    public QloraOptions dropout(double dropout) {
        lora.dropout(dropout);
        return this;
    }

    /** See {@link LoraOptions#targets}. */
    public QloraOptions targets(String... names) {
        lora.targets(names);
        return this;
    }

    /** The form of the base's weights; NF4 in blocks of 64 with double quantization by default. */
    public QloraOptions quantization(QuantSettings settings) {
        this.quantization = settings;
        return this;
    }

    LoraSettings lora() {
        return lora.settings();
    }

    QuantSettings quantization() {
        return quantization;
    }
}
