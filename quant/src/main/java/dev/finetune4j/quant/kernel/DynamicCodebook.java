package dev.finetune4j.quant.kernel;

import dev.finetune4j.quant.QuantSettings;
import java.util.Arrays;

/**
 * The codebook of signed dynamic 8-bit quantization (<a href="https://arxiv.org/abs/1511.04561">Dettmers 2015</a>,
 * {@code create_dynamic_map} of bitsandbytes), in which the scales of the blocks are stored: per decade down to
 * 10<sup>-7</sup> twice as many of its 256 numbers as in the decade below it, on either side of zero.
 */
final class DynamicCodebook {
    /** How many scales share one second-level scale. */
    static final int BLOCK_SIZE = QuantSettings.SCALE_BLOCK_SIZE;

    private static final int DECADES = 7;
    private static final float[] VALUES = values();
    private static final float[] LIMITS = makeLimits();

    private DynamicCodebook() {}

    /** The numbers in rising order, a copy. */
    static float[] table() {
        return VALUES.clone();
    }

    /** The 255 rising limits between the codes, a copy. */
    static float[] limits() {
        return LIMITS.clone();
    }

    /** The code of the number nearest to a value in [-1, 1]. */
    static int encode(float value) {
        int low = 0;
        int high = LIMITS.length;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (value > LIMITS[middle]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    private static float[] values() {
        float[] values = new float[256];
        int count = 0;
        values[count++] = 0f;
        values[count++] = 1f;
        for (int decade = 0; decade < DECADES; decade++) {
            int bins = 1 << decade;
            float power = (float) Math.pow(10, decade - DECADES + 1);
            for (int bin = 0; bin < bins; bin++) {
                float middle = (edge(bin, bins) + edge(bin + 1, bins)) / 2f;
                values[count++] = power * middle;
                values[count++] = -(power * middle);
            }
        }
        Arrays.sort(values);
        return values;
    }

    /**
     * Edge {@code k} of the bins that divide [0.1, 1] evenly, rounded as libtorch's linspace does: from the nearer end,
     * fused.
     */
    private static float edge(int k, int bins) {
        float step = (1f - 0.1f) / bins;
        return k < (bins + 1) / 2 ? Math.fma(step, (float) k, 0.1f) : Math.fma(-step, (float) (bins - k), 1f);
    }

    /**
     * The search on the GPU ends at an even code and then looks at one neighbour, so that a value exactly between an
     * odd code and the even one above it goes up. Lowering that limit by one float says the same.
     */
    private static float[] makeLimits() {
        float[] limits = new float[VALUES.length - 1];
        for (int i = 0; i < limits.length; i++) {
            float middle = (VALUES[i] + VALUES[i + 1]) * 0.5f;
            limits[i] = i % 2 == 0 ? middle : Math.nextDown(middle);
        }
        return limits;
    }
}
