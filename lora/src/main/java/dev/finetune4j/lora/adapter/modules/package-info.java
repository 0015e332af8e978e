/**
 * The layers that adapters of several kinds have beside their own: copies of whole modules (PEFT's {@code modules_to_save}), biases
 * ({@code bias}) and rows of tables of token vectors ({@code trainable_token_indices}). May use {@code lora.adapter}, its {@code
 * layer} and {@code core}.
 */
@NullMarked
package dev.finetune4j.lora.adapter.modules;

import org.jspecify.annotations.NullMarked;
