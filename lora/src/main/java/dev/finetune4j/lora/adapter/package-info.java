/**
 * Adapters: what they compute, how they sit on a model, and how they are stored.
 *
 * <p>Three files per method: settings, arithmetic, injection. Reading order: {@code LoraSettings}, {@code LoraLinear} (the
 * five lines that are LoRA), {@code LoraAdapter}, {@code AdapterFiles}. Imports {@code core} only, never {@code quant} or
 * {@code data}: an adapter wraps any linear and does not know what is underneath. The facade, {@code lora.train},
 * {@code lora.eval} and {@code lora.export} may import it.
 */
@NullMarked
package dev.finetune4j.lora.adapter;

import org.jspecify.annotations.NullMarked;
