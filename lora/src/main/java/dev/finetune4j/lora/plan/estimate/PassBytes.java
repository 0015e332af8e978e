package dev.finetune4j.lora.plan.estimate;

import dev.finetune4j.core.Precision;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.ChunkedHead;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.nn.RopeSpec;
import dev.finetune4j.core.tensor.Placement;

/**
 * The bytes of a pass outside of the blocks.
 *
 * @param full whether the weights themselves are trained
 */
record PassBytes(ModelConfig config, Placement placement, boolean full) {
    /** The rotary tables begin with so many positions and are doubled. */
    private static final long FIRST_TABLE = 256;

    private int number() {
        return placement.precision().bytes();
    }

    /**
     * A chunk of the vocabulary projection, {@link NextTokenLoss}: logits, their float32 form, their logarithms, and two
     * gradients, or with kernels of our own the logits alone; the hidden states, their gradient, and the part of it that a chunk adds.
     *
     * @param batch positions of the batch; all may have a label
     */
    long loss(long batch) {
        long rows = Math.min(ChunkedHead.ROWS_PER_CHUNK, batch);
        boolean fused = StaticBytes.hasKernels(placement);
        long logit = fused ? number() : 4L * Float.BYTES + (placement.precision() == Precision.FP32 ? 0 : number());
        long trained = full ? (long) config.vocabSize() * config.hiddenSize() * (number() + Float.BYTES) : 0;
        return rows * config.vocabSize() * logit + 3 * batch * config.hiddenSize() * number() + trained;
    }

    /**
     * What the norm behind the last block keeps of each token.
     *
     * @param trained whether its weight is trained
     */
    long lastNorm(boolean trained) {
        return (long) config.hiddenSize() * (full || trained ? Float.BYTES : number());
    }

    /**
     * Cosines and sines in float32, their rows in the precision of the pass, and a mask for each kind of layer with a window.
     *
     * @param positions of a sequence
     */
    long tables(long positions) {
        long size = FIRST_TABLE;
        while (size < positions) {
            size *= 2;
        }
        long bytes = 0;
        for (RopeSpec rope :
                config.layerTypes().stream().map(LayerType::rope).distinct().toList()) {
            bytes += 2L * rope.channels() * (size * Float.BYTES + positions * number());
        }
        long windows = config.layerTypes().stream()
                .distinct()
                .filter(kind -> kind.window() > 0 && kind.window() < positions)
                .filter(kind -> !BlockBytes.isBlockwise(config, placement))
                .count();
        return bytes + windows * positions * positions;
    }
}
