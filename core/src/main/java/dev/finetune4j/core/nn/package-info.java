/**
 * The blocks that decoders are composed of, and the seam through which weights of another form enter.
 *
 * <p>Letters in comments: B batch, T tokens, D hidden width, H heads, V vocabulary, r rank. Reading order:
 * {@link dev.finetune4j.core.nn.Linear}, {@link dev.finetune4j.core.nn.Attention},
 * {@link dev.finetune4j.core.nn.GatedMlp}, {@link dev.finetune4j.core.nn.PlainMlp}, {@link dev.finetune4j.core.nn.MixtureOfExperts},
 * {@link dev.finetune4j.core.nn.DecoderBlock},
 * {@link dev.finetune4j.core.nn.NextTokenLoss}.
 *
 * <p>Forward calls of a layer may run in several threads at once; closing may not overlap with them. This holds for the
 * layers of {@code quant} and {@code lora.adapter} too.
 *
 * <p>Imports {@code core.tensor} and, for loading, {@code core.io}; quantization implements
 * {@link dev.finetune4j.core.nn.LinearFactory}, adapters enter through a
 * {@link dev.finetune4j.core.nn.ModuleTransform}. Every module but {@code data} may import it.
 */
@NullMarked
package dev.finetune4j.core.nn;

import org.jspecify.annotations.NullMarked;
