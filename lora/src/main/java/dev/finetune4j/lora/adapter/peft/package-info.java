/**
 * All kinds together: {@link dev.finetune4j.lora.adapter.peft.AdapterKinds} lists them and creates adapters, {@link
 * dev.finetune4j.lora.adapter.peft.AdapterFiles} writes and reads them in PEFT's folder format. May use the whole of {@code
 * lora.adapter} and {@code core}.
 */
@NullMarked
package dev.finetune4j.lora.adapter.peft;

import org.jspecify.annotations.NullMarked;
