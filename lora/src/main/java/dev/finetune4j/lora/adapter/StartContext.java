package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.tensor.ComputeDevice;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * What fresh adapters are made from.
 *
 * @param random the numbers depend on its seed alone
 * @param device where the adapter lives
 * @param originals the weights before they were quantized; null when there are none
 */
record StartContext(
        SplittableRandom random,
        ComputeDevice device,
        @Nullable WeightSource originals) {}
