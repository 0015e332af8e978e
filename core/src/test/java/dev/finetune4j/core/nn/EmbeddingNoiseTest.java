package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestGpu;
import java.util.Arrays;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** NEFTune's noise: its size by the formula of the paper, and that it follows from seed and pass alone. */
class EmbeddingNoiseTest {
    private static final int WIDTH = 64;
    private static final double ALPHA = 5;

    private static float[] noise(
            ComputeDevice device, int rows, int tokens, long @Nullable [] lengths, Dropout.Draw draw) {
        try (TensorScope scope = new TensorScope();
                Dropout.Pass given = Dropout.of(draw);
                Dropout.Pass pass = Dropout.decoder(true)) {
            Tensor x = Tensors.zeros(device, ScalarType.Float, rows, tokens, WIDTH);
            PackedSequences packed = lengths == null ? null : PackedSequences.of(device, lengths);
            return Tensors.toFloats(new EmbeddingNoise(ALPHA).apply(x, packed));
        }
    }

    private static float[] noise(int rows, int tokens, long @Nullable [] lengths, Dropout.Draw draw) {
        return noise(ComputeDevice.cpu(), rows, tokens, lengths, draw);
    }

    /** @param length of the sequences, L */
    private static void assertUniform(float[] noise, double length) {
        double bound = ALPHA / Math.sqrt(length * WIDTH);
        double mean = 0;
        double square = 0;
        double top = 0;
        for (float number : noise) {
            mean += number / noise.length;
            square += (double) number * number / noise.length;
            top = Math.max(top, Math.abs(number));
        }
        assertTrue(top < bound && top > 0.99 * bound, top + " of " + bound);
        assertEquals(0, mean, 0.03 * bound);
        assertEquals(1 / 3.0, square / (bound * bound), 0.02);
        float[] sorted = noise.clone();
        Arrays.sort(sorted);
        for (int tenth = 1; tenth < 10; tenth++) {
            assertEquals((tenth - 5) / 5.0, sorted[noise.length * tenth / 10] / bound, 0.04, "decile " + tenth);
        }
    }

    @Test
    void itIsUniformUpToAlphaOverTheRootOfAllNumbers() {
        assertUniform(noise(2, 100, null, new Dropout.Draw(7, 3)), 100);
    }

    @Test
    void eachSequenceOfARowHasItsOwnSize() {
        float[] row = noise(1, 260, new long[] {50, 0, 200, 10}, new Dropout.Draw(7, 3));
        assertUniform(Arrays.copyOfRange(row, 0, 50 * WIDTH), 50);
        assertUniform(Arrays.copyOfRange(row, 50 * WIDTH, 250 * WIDTH), 200);
        double top = 0;
        for (int i = 250 * WIDTH; i < row.length; i++) {
            top = Math.max(top, Math.abs(row[i]));
        }
        double bound = ALPHA / Math.sqrt(10 * WIDTH);
        assertTrue(top < bound && top > 0.9 * bound, top + " of " + bound);
    }

    @Test
    void itFollowsFromSeedAndPass() {
        float[] noise = noise(1, 20, null, new Dropout.Draw(7, 3));
        assertArrayEquals(noise, noise(1, 20, null, new Dropout.Draw(7, 3)));
        assertFalse(Arrays.equals(noise, noise(1, 20, null, new Dropout.Draw(7, 4))));
        assertFalse(Arrays.equals(noise, noise(1, 20, null, new Dropout.Draw(8, 3))));
    }

    @Test
    void passesWithoutGradientsHaveNone() {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                Dropout.Pass pass = Dropout.decoder(true)) {
            Tensor x = Tensors.zeros(ComputeDevice.cpu(), ScalarType.Float, 1, 3, WIDTH);
            assertSame(x, new EmbeddingNoise(ALPHA).apply(x, null));
        }
    }

    @Test
    void theGpuHasTheSame() {
        Needs.gpu();
        long[] lengths = {5, 0, 15};
        TensorData.assertClose(
                "noise",
                noise(1, 20, lengths, new Dropout.Draw(7, 3)),
                noise(TestGpu.device(), 1, 20, lengths, new Dropout.Draw(7, 3)),
                1e-6);
    }
}
