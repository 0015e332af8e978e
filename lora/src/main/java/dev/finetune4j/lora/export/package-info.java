/**
 * Writing models for use elsewhere: {@link dev.finetune4j.lora.export.HuggingFaceWriter} makes a Hugging Face folder, {@link
 * dev.finetune4j.lora.export.MergedModelExporter} one with an adapter merged into the weights.
 *
 * <p>Imports {@code core}, {@code quant} and {@code lora.adapter}; only the facade imports it.
 */
@NullMarked
package dev.finetune4j.lora.export;

import org.jspecify.annotations.NullMarked;
