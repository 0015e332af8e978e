/**
 * Writing models for use elsewhere: {@link dev.finetune4j.lora.export.ModelFolder} makes a Hugging Face folder.
 *
 * <p>Imports {@code core}; only the facade imports it.
 */
@NullMarked
package dev.finetune4j.lora.export;

import org.jspecify.annotations.NullMarked;
