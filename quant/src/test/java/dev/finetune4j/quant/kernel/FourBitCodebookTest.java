package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FourBitCodebookTest {
    /** As a CUDA compiler rounded the literals of the kernel. */
    @Test
    void nf4LimitsAreThoseOfTheCompiledKernel() {
        int[] bits = {
            0xbf591cd9,
            0xbf1c5270,
            0xbeeb8480,
            0xbeadea76,
            0xbe703cec,
            0xbe0d38bc,
            0xbd3a7871,
            0x3d22faff,
            0x3df64863,
            0x3e5067e0,
            0x3e9582d4,
            0x3ec753f9,
            0x3f006d03,
            0x3f248daf,
            0x3f5c89d9
        };
        float[] limits = FourBitCodebook.NF4.thresholds();
        float[] values = FourBitCodebook.NF4.table();
        for (int i = 0; i < bits.length; i++) {
            assertEquals(Float.intBitsToFloat(bits[i]), limits[i]);
            double middle = ((double) values[i] + values[i + 1]) / 2;
            assertEquals(middle, limits[i], Math.ulp(limits[i]));
        }
    }

    @Test
    void aValueOnALimitGoesDown() {
        float[] limits = FourBitCodebook.NF4.thresholds();
        for (int i = 0; i < limits.length; i++) {
            assertEquals(i, FourBitCodebook.NF4.encode(limits[i]));
            assertEquals(i + 1, FourBitCodebook.NF4.encode(Math.nextUp(limits[i])));
        }
    }

    @Test
    void fp4FollowsTheMagnitude() {
        SplittableRandom random = new SplittableRandom(4);
        for (int i = 0; i < 100_000; i++) {
            float x = (float) (random.nextDouble() * 2 - 1);
            assertEquals(fp4(x), FourBitCodebook.FP4.encode(x), () -> "of " + x);
        }
        float[] edges = {0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f, 0.4166667f, 0.583333f, 0.8333333f, 1f};
        for (float edge : edges) {
            for (float x : new float[] {Math.nextDown(edge), edge, Math.nextUp(edge)}) {
                assertEquals(fp4(x), FourBitCodebook.FP4.encode(x), () -> "of " + x);
                assertEquals(fp4(-x), FourBitCodebook.FP4.encode(-x), () -> "of " + -x);
            }
        }
        assertEquals(0, FourBitCodebook.FP4.encode(-0f));
        assertEquals(8, FourBitCodebook.FP4.encode(-1e-30f));
    }

    private static int fp4(float x) {
        float m = Math.abs(x);
        int[] codes = {0, 1, 6, 7, 4, 5, 2, 3};
        float[] limits = {0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f, 0.4166667f, 0.583333f, 0.8333333f};
        int above = 0;
        for (float limit : limits) {
            above += m > limit ? 1 : 0;
        }
        return codes[above] + (x < 0 ? 8 : 0);
    }

    @Test
    void fp4NumbersAreTwelfthsOfSmallFloats() {
        float[] table = FourBitCodebook.FP4.table();
        float[] expected = {0f, 0.0052083333f, 0.6666667f, 1f, 0.3333333f, 0.5f, 0.1666667f, 0.25f};
        for (int i = 0; i < 8; i++) {
            assertEquals(expected[i], table[i], 5e-8f);
            assertEquals(-table[i], table[i + 8]);
        }
    }

    @Test
    void dynamicMapTakesTheNearestNumber() {
        float[] map = DynamicCodebook.signed().table();
        assertEquals(256, map.length);
        assertEquals(-0.99296874f, map[0]);
        assertEquals(0f, map[127]);
        assertEquals(1f, map[255]);
        SplittableRandom random = new SplittableRandom(8);
        for (int i = 0; i < 50_000; i++) {
            float x = (float) ((random.nextDouble() * 2 - 1) * Math.pow(10, -random.nextInt(8)));
            int code = DynamicCodebook.signed().encode(x);
            double distance = Math.abs((double) map[code] - x);
            for (int other = Math.max(0, code - 1); other <= Math.min(255, code + 1); other++) {
                double gap = Math.abs((double) map[other] - x);
                assertEquals(true, distance <= gap * (1 + 1e-6) + 1e-12, () -> "nearest of " + x);
            }
        }
        assertEquals(0, DynamicCodebook.signed().encode(-1f));
        assertEquals(255, DynamicCodebook.signed().encode(1f));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, -64, 16, 48, 65, 8192})
    void refusesOtherBlockSizes(int size) {
        IllegalArgumentException refused =
                assertThrows(IllegalArgumentException.class, () -> new QuantSettings(QuantType.NF4, size, false));
        assertEquals(true, refused.getMessage().contains(Integer.toString(size)));
    }

    @Test
    void theDefaultIsThatOfQlora() {
        assertEquals(new QuantSettings(QuantType.NF4, 64, true), QuantSettings.nf4());
    }
}
