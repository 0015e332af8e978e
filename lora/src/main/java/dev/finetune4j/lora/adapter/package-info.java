/**
 * Adapters: what they compute, how they sit on a model, and how they are stored.
 *
 * <p>{@link dev.finetune4j.lora.adapter.PeftAdapter} is what all kinds share: tensors to train, a view of a base that uses
 * them, what a file holds. There are two. A {@code WeightAdapter} is a list of {@code ModulePart}s, each on a module: LoRA
 * factors, (IA)³ factors, a bias, a whole module, rows of a table. A {@code PartPlan} says what a part is called and shaped,
 * how it starts and how it is made from a file, so creating, checking and loading are one path for all of them. A {@code
 * VirtualTokenAdapter} puts trained positions before the first token.
 *
 * <pre>
 * settings ──check──▶ names of a model (before weights are read)
 *    │
 *    └─plans──▶ PartPlan ──start──▶ ModulePart ──around──▶ Linear, Embedding, RmsNorm of the view
 *                  └──of(file)──▶──┘    └──stored──▶ adapter_model.safetensors
 * </pre>
 *
 * <p>To add a kind: a settings record, a plan, a part and the module that computes with it, and its keys in {@code
 * AdapterConfig}. Reading order: {@code LoraSettings}, {@code LoraLinear} (the few lines that are LoRA), {@code LoraPlans},
 * {@code WeightAdapter}, {@code AdapterFiles}. Imports {@code core} only, never {@code quant} or {@code data}: an adapter
 * wraps any linear and does not know what is underneath. The facade, {@code lora.train}, {@code lora.eval} and {@code
 * lora.export} may import it.
 */
@NullMarked
package dev.finetune4j.lora.adapter;

import org.jspecify.annotations.NullMarked;
