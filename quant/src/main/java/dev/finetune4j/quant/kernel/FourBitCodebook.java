package dev.finetune4j.quant.kernel;

import dev.finetune4j.quant.QuantType;

/**
 * The sixteen numbers in [-1, 1] of a 4-bit type, and the limits between them, exact to the last bit of float32 as
 * <a href="https://github.com/bitsandbytes-foundation/bitsandbytes">bitsandbytes</a> has them.
 */
enum FourBitCodebook {
    NF4(nf4Values(), nf4Thresholds(), nf4Codes()),
    FP4(fp4Values(), fp4Thresholds(), new int[] {11, 10, 13, 12, 15, 14, 9, 8, 0, 1, 6, 7, 4, 5, 2, 3});

    private final float[] values;
    private final float[] thresholds;
    private final int[] codes;

    FourBitCodebook(float[] values, float[] thresholds, int[] codes) {
        this.values = values;
        this.thresholds = thresholds;
        this.codes = codes;
    }

    static FourBitCodebook of(QuantType type) {
        return switch (type) {
            case NF4 -> NF4;
            case FP4 -> FP4;
        };
    }

    /** The number that each code stands for: 16 floats, a copy. */
    float[] table() {
        return values.clone();
    }

    /** The 15 rising limits between the intervals of the number line; a value on a limit belongs below it. */
    float[] thresholds() {
        return thresholds.clone();
    }

    /** The code of each of the 16 intervals, from the lowest. */
    int[] intervalCodes() {
        return codes.clone();
    }

    /** The code of a number that has been divided by its block's largest magnitude. */
    int encode(float scaled) {
        int interval = 0;
        while (interval < thresholds.length && scaled > thresholds[interval]) {
            interval++;
        }
        return codes[interval];
    }

    private static float[] nf4Values() {
        return new float[] {
            -1.0f,
            -0.6961928009986877f,
            -0.5250730514526367f,
            -0.39491748809814453f,
            -0.28444138169288635f,
            -0.18477343022823334f,
            -0.09105003625154495f,
            0.0f,
            0.07958029955625534f,
            0.16093020141124725f,
            0.24611230194568634f,
            0.33791524171829224f,
            0.44070982933044434f,
            0.5626170039176941f,
            0.7229568362236023f,
            1.0f
        };
    }

    private static int[] nf4Codes() {
        int[] codes = new int[16];
        for (int i = 0; i < codes.length; i++) {
            codes[i] = i;
        }
        return codes;
    }

    /**
     * The limits as the CUDA kernel spells them. They stand for the middles between neighbouring numbers, but where the
     * middle lies between two floats the spelling decides, and four of them are not what averaging in float32 gives.
     */
    private static float[] nf4Thresholds() {
        return new float[] {
            -0.8480964004993439f,
            -0.6106329262256622f,
            -0.4599952697753906f,
            -0.33967943489551544f,
            -0.23460740596055984f,
            -0.13791173315048218f,
            -0.045525018125772476f,
            0.03979014977812767f,
            0.1202552504837513f,
            0.2035212516784668f,
            0.2920137718319893f,
            0.3893125355243683f,
            0.5016634166240692f,
            0.6427869200706482f,
            0.8614784181118011f
        };
    }

    private static float[] fp4Values() {
        float[] twelfths = {0f, 0.0625f, 8f, 12f, 4f, 6f, 2f, 3f};
        float[] values = new float[16];
        for (int i = 0; i < twelfths.length; i++) {
            values[i] = twelfths[i] / 12f;
            values[i + 8] = -values[i];
        }
        return values;
    }

    /**
     * The published limits are of the magnitude, and a magnitude on its limit belongs to the smaller number. On the
     * negative side that is the upper interval, so there the limit is one float lower. The sign bit is set from the
     * first normal float below zero on, because the GPU takes subnormal numbers for zero.
     */
    private static float[] fp4Thresholds() {
        float[] magnitudes = {0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f, 0.4166667f, 0.583333f, 0.8333333f};
        float[] limits = new float[15];
        limits[7] = -Float.MIN_NORMAL;
        for (int i = 0; i < magnitudes.length; i++) {
            limits[8 + i] = magnitudes[i];
            limits[6 - i] = Math.nextDown(-magnitudes[i]);
        }
        return limits;
    }
}
