/**
 * LoRA with all that goes with it (DoRA, rsLoRA, PiSSA, OLoRA, LoftQ). {@code LoraLinear} is the few lines that are LoRA, {@code
 * FusedLoraLinears} the same for several linears of one input with a backward pass written by hand, {@code LoraInitializer} the first
 * factors, {@code LoraSpecs} which layers settings ask for, {@code LoraConfig} PEFT's keys. As every kind it may use {@code
 * lora.adapter}, {@code layer}, {@code modules}, {@code kind} and {@code core}, and no other kind.
 */
@NullMarked
package dev.finetune4j.lora.adapter.lora;

import org.jspecify.annotations.NullMarked;
