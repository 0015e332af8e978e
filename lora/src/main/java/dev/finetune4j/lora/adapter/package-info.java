/**
 * Adapters: this package holds their settings, which applications see; the packages below it hold what adapters compute, how they
 * sit on a model, and how they are stored.
 *
 * <p>{@code PeftAdapter} is what all kinds share: tensors to train, a view of a base that uses them, what a file holds. There are two
 * forms. A {@code LayerAdapter} is a list of {@code AdapterLayer}s, each on a module: LoRA factors, (IA)³ factors, a bias, a whole
 * module, rows of a table. An {@code AdapterLayerSpec} says how the tensors of a layer are called, shaped and initialized and how it
 * is made from a file, so creating, checking, loading and measuring are one path for all of them. A {@code PromptLearningAdapter}
 * puts virtual tokens before the first one; a {@code PromptEncoder} makes them.
 *
 * <p>An {@code AdapterKind} is all that depends on the settings' class: check, layers, keys of {@code adapter_config.json}, names
 * in a file. {@code AdapterKinds} lists them, and nobody else tells one kind from another.
 *
 * <pre>
 * settings ──AdapterKinds──▶ kind ──check──▶ names of a model (before weights are read)
 *                             ├─read, write──▶ adapter_config.json
 *    ┌────────────────────────┘
 *    └─specs──▶ AdapterLayerSpec ──init──▶ AdapterLayer ──wrap──▶ Linear, Embedding, RmsNorm of the view
 *                  └──of(file)──▶──┘        └──stored──▶ adapter_model.safetensors
 *
 * lora.adapter (settings) ◀── layer ◀── modules ◀── kind ◀── lora, ia3, vera, lntuning, prompt ◀── peft
 * </pre>
 *
 * <p>A new kind is a folder and a line in {@code AdapterKinds}; CONTRIBUTING.md has the steps. Reading order: {@code LoraSettings},
 * {@code LoraLinear} (the few lines that are LoRA), {@code LoraKind}, {@code LoraSpecs}, {@code LayerAdapter}, {@code AdapterFiles}.
 * Imports {@code core} only, never {@code quant} or {@code data}: an adapter wraps any linear and does not know what is underneath.
 * The facade, {@code lora.train}, {@code lora.eval}, {@code lora.plan} and {@code lora.export} may import it.
 */
@NullMarked
package dev.finetune4j.lora.adapter;

import org.jspecify.annotations.NullMarked;
