/**
 * What sits on single modules: an {@link dev.finetune4j.lora.adapter.layer.AdapterLayer} holds tensors and wraps a linear, an embedding
 * or a norm; its {@link dev.finetune4j.lora.adapter.layer.AdapterLayerSpec} says how the tensors are called, shaped and initialized
 * before they are there. {@code AdaptedLinear} and {@code AdaptedEmbedding} are what the wrappers have in common.
 *
 * <p>A layer owns its tensors; the modules that it makes borrow them and the base's. May use {@code lora.adapter} and {@code core}.
 */
@NullMarked
package dev.finetune4j.lora.adapter.layer;

import org.jspecify.annotations.NullMarked;
