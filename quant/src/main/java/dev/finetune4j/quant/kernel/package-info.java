/**
 * 4-bit weights (NF4 and FP4) with the same bytes as bitsandbytes, and the linear that computes with them.
 *
 * <p>Reading order: {@code FourBitCodebook} (the two codes),
 * {@link dev.finetune4j.quant.kernel.QuantizedTensor} (the layout), {@link dev.finetune4j.quant.kernel.QuantizedLinear} (forward and
 * backward) and {@link dev.finetune4j.quant.kernel.QuantizedLinearFactory}, which the model loader is given. All arithmetic
 * stands behind {@code QuantKernels}; {@code CudaRounding} holds the two places where a GPU rounds unlike IEEE 754.
 *
 * <p>Imports {@code core} and the settings in {@code quant}; {@code lora} and the leaf programs may import it.
 */
@NullMarked
package dev.finetune4j.quant.kernel;

import org.jspecify.annotations.NullMarked;
