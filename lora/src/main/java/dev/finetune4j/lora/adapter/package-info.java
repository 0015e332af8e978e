/**
 * Adapters: what they compute, how they sit on a model, and how they are stored.
 *
 * <p>{@link dev.finetune4j.lora.adapter.PeftAdapter} is what all kinds share: tensors to train, a view of a base that uses
 * them, what a file holds. There are two forms. A {@code WeightAdapter} is a list of {@code ModulePart}s, each on a module: LoRA
 * factors, (IA)³ factors, a bias, a whole module, rows of a table. A {@code PartPlan} says what a part is called and shaped,
 * how it starts and how it is made from a file, so creating, checking, loading and measuring are one path for all of them. A
 * {@code VirtualTokenAdapter} puts trained positions before the first token; an {@code EncoderPlan} says of what they are made.
 *
 * <p>An {@code AdapterKind} is all that depends on the settings' class: check, plan, keys of {@code adapter_config.json}, names
 * in a file. {@code AdapterKinds} lists them, and nobody else tells one kind from another.
 *
 * <pre>
 * settings ──AdapterKinds──▶ kind ──check──▶ names of a model (before weights are read)
 *                             ├─read, write──▶ adapter_config.json
 *    ┌────────────────────────┘
 *    └─plans──▶ PartPlan ──start──▶ ModulePart ──around──▶ Linear, Embedding, RmsNorm of the view
 *                  └──of(file)──▶──┘    └──stored──▶ adapter_model.safetensors
 * </pre>
 *
 * <p>To add a kind: a settings record and a {@code WeightKind} or {@code VirtualTokenKind}, with a part and the module that
 * computes with it where none that is there serves, in files that begin with its name; and a line in {@code AdapterKinds}.
 * Reading order: {@code LoraSettings}, {@code LoraLinear} (the few lines that are LoRA), {@code LoraKind}, {@code LoraPlans},
 * {@code WeightAdapter}, {@code AdapterFiles}. Imports {@code core} only, never {@code quant} or {@code data}: an adapter
 * wraps any linear and does not know what is underneath. The facade, {@code lora.train}, {@code lora.eval} and {@code
 * lora.export} may import it.
 */
@NullMarked
package dev.finetune4j.lora.adapter;

import org.jspecify.annotations.NullMarked;
