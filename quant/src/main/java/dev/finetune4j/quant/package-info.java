/**
 * 4-bit weights (NF4 and FP4) with the same bytes as bitsandbytes, and the linear that computes with them.
 *
 * <p>Reading order: {@link dev.finetune4j.quant.QuantType} (the two codes),
 * {@link dev.finetune4j.quant.QuantizedTensor} (the layout), {@link dev.finetune4j.quant.QuantizedLinear} (forward and
 * backward) and {@link dev.finetune4j.quant.QuantizedLinearFactory}, which the model loader is given. All arithmetic
 * stands behind {@code QuantKernels}; {@code CudaRounding} holds the two places where a GPU rounds unlike IEEE 754.
 *
 * <p>Imports {@code core} only; {@code lora} and the leaf programs may import it.
 */
@NullMarked
package dev.finetune4j.quant;

import org.jspecify.annotations.NullMarked;
