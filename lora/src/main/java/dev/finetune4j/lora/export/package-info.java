/**
 * Writing models for use elsewhere: a {@link dev.finetune4j.lora.export.ModelContent} is collected from a model in memory, or
 * by {@link dev.finetune4j.lora.export.MergedModelExporter} from a checkpoint and an adapter that is merged into its weights; a
 * {@link dev.finetune4j.lora.export.ModelWriter} writes it, {@link dev.finetune4j.lora.export.HuggingFaceWriter} as a
 * Hugging Face folder, {@link dev.finetune4j.lora.export.gguf.GgufModelWriter} as a GGUF file.
 *
 * <p>Imports {@code core}, {@code quant} and {@code lora.adapter}; only the facade imports it.
 */
@NullMarked
package dev.finetune4j.lora.export;

import org.jspecify.annotations.NullMarked;
