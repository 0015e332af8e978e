/**
 * What an application says of 4-bit weights: {@link dev.finetune4j.quant.QuantSettings} and its {@link
 * dev.finetune4j.quant.QuantType}, with the same bytes as bitsandbytes. {@code quant.kernel} computes with them.
 */
@NullMarked
package dev.finetune4j.quant;

import org.jspecify.annotations.NullMarked;
