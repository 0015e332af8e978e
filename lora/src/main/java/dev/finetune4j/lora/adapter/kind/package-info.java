/**
 * What an adapter is and what a kind of adapters is. {@link dev.finetune4j.lora.adapter.kind.PeftAdapter} is what all have in common;
 * an {@link dev.finetune4j.lora.adapter.kind.AdapterKind} is all that depends on the settings' class. {@code LayerAdapterKind} serves
 * kinds that change single modules: from their {@code AdapterLayerSpec}s follow creating, checking, loading and measuring.
 * {@code ConfigFields} and {@code ConfigKeys} read and write {@code adapter_config.json}.
 *
 * <p>May use {@code lora.adapter}, {@code layer}, {@code modules} and {@code core}; no kind in particular.
 */
@NullMarked
package dev.finetune4j.lora.adapter.kind;

import org.jspecify.annotations.NullMarked;
