package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Numbers that an H100 gave. */
class CudaRoundingTest {
    @ParameterizedTest
    @CsvSource({
        "1, 3e5de6c4",
        "3, 3edde6c4",
        "64, 3efde5f1",
        "100, 3efc9c6e",
        "127, 3efb557a",
        "128, 3efc5231",
        "130, 3efcdf2b",
        "240, 3efdd3e7",
        "2047, 3effee4d",
        "4099, 3effbd7e",
        "131071, 3effface",
        "131072, 3efffab0",
        "262144, 3efffc30",
        "704513, 3efffeb1"
    })
    void meanAddsInTheOrderOfTheGpu(int count, String bits) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = ((i + 1) * 2_654_435_761L & 0xffffff) / 16_777_216f;
        }
        assertEquals(bits, Integer.toHexString(Float.floatToRawIntBits(CudaRounding.mean(values))));
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "6, -1", "11, 1", "17, 1", "1016, -1", "1023, 0"})
    void reciprocalIsOffWhereTheGpuIs(int mantissa, int floats) {
        for (int exponent = -120; exponent <= 120; exponent += 24) {
            float value = Math.scalb(1 + mantissa / 1024f, exponent);
            int found = Float.floatToRawIntBits(CudaRounding.reciprocal(value));
            int difference = found - Float.floatToRawIntBits(1 / value);
            assertEquals(floats, difference, () -> "of " + value);
        }
    }
}
