package dev.finetune4j.quant.kernel;

import dev.finetune4j.quant.QuantSettings;
import java.util.Arrays;

/**
 * A codebook of dynamic 8-bit quantization (<a href="https://arxiv.org/abs/1511.04561">Dettmers 2015</a>, {@code
 * create_dynamic_map} of bitsandbytes): per decade down to 10<sup>-7</sup> twice as many of its 256 numbers as in the decade below
 * it. The signed one has them on either side of zero; the scales of 4-bit blocks are stored in it. Immutable.
 */
public final class DynamicCodebook {
    /** How many scales share one second-level scale. */
    static final int BLOCK_SIZE = QuantSettings.SCALE_BLOCK_SIZE;

    private static final int DECADES = 7;
    private static final DynamicCodebook SIGNED = new DynamicCodebook(true);
    private static final DynamicCodebook UNSIGNED = new DynamicCodebook(false);

    private final float[] values;
    private final float[] limits;

    private DynamicCodebook(boolean signed) {
        values = values(signed);
        limits = limits(values);
    }

    /** That of numbers from -1 to 1. */
    public static DynamicCodebook signed() {
        return SIGNED;
    }

    /** That of numbers from 0 to 1. */
    public static DynamicCodebook unsigned() {
        return UNSIGNED;
    }

    /** The numbers in rising order, a copy. */
    public float[] table() {
        return values.clone();
    }

    /** The 255 rising limits between the codes, a copy. */
    public float[] limits() {
        return limits.clone();
    }

    /** The code of the number nearest to a value of at most 1. */
    public int encode(float value) {
        int low = 0;
        int high = limits.length;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (value > limits[middle]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    private static float[] values(boolean signed) {
        float[] values = new float[256];
        int count = 0;
        values[count++] = 0f;
        values[count++] = 1f;
        for (int decade = 0; decade < DECADES; decade++) {
            int bins = 1 << (signed ? decade : decade + 1);
            float power = (float) Math.pow(10, decade - DECADES + 1);
            for (int bin = 0; bin < bins; bin++) {
                float middle = (edge(bin, bins) + edge(bin + 1, bins)) / 2f;
                values[count++] = power * middle;
                if (signed) {
                    values[count++] = -(power * middle);
                }
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
    private static float[] limits(float... values) {
        float[] limits = new float[values.length - 1];
        for (int i = 0; i < limits.length; i++) {
            float middle = (values[i] + values[i + 1]) * 0.5f;
            limits[i] = i % 2 == 0 ? middle : Math.nextDown(middle);
        }
        return limits;
    }
}
