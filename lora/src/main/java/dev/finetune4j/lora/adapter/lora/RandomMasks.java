package dev.finetune4j.lora.adapter.lora;

import dev.finetune4j.core.tensor.Tensors;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;

/** Which numbers DARE keeps. */
@FunctionalInterface
interface RandomMasks {
    /**
     * Ones for what is kept, zeros for what is dropped, each by itself with the same probability.
     *
     * @param like of the shape and on the device of the mask
     * @param density the probability to be kept
     */
    Tensor mask(Tensor like, double density);

    /** Masks that are the same for the same seed. */
    static RandomMasks seeded(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        return (like, density) -> {
            float[] mask = new float[Math.toIntExact(like.numel())];
            for (int i = 0; i < mask.length; i++) {
                mask[i] = random.nextDouble() < density ? 1 : 0;
            }
            return Tensors.ofFloats(Tensors.deviceOf(like), mask, like.shape());
        };
    }
}
