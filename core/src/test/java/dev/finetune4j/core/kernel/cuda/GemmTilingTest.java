package dev.finetune4j.core.kernel.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The estimate against rates measured on an H200. */
class GemmTilingTest {
    private static final int MULTIPROCESSORS = 132;

    private record Measured(GemmShape shape, double libtorch, List<GemmTiling> kernels, double[] rates) {
        double best() {
            return Arrays.stream(rates).max().orElseThrow();
        }

        double chosen() {
            return rates[GemmTiling.fastest(kernels, shape, MULTIPROCESSORS)];
        }

        private static Measured of(String line) {
            String[] halves = line.split(";", -1);
            String[] head = halves[0].split(",", -1);
            List<GemmTiling> kernels = new ArrayList<>();
            List<Double> rates = new ArrayList<>();
            for (String kernel : halves[1].split(" ", -1)) {
                String[] parts = kernel.split(":", -1);
                kernels.add(new GemmTiling(Integer.parseInt(parts[0]), Integer.parseInt(parts[1])));
                rates.add(Double.parseDouble(parts[2]));
            }
            return new Measured(
                    transposed(Long.parseLong(head[0]), Long.parseLong(head[1]), Long.parseLong(head[2])),
                    Double.parseDouble(head[4]),
                    kernels,
                    rates.stream().mapToDouble(Double::doubleValue).toArray());
        }
    }

    private static GemmShape transposed(long m, long n, long k) {
        return new GemmShape(m, n, k, k, k, m, true);
    }

    private static List<Measured> measured(String file) throws IOException {
        try (InputStream in = Objects.requireNonNull(GemmTilingTest.class.getResourceAsStream(file))) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8)
                    .lines()
                    .filter(line -> !line.startsWith("#"))
                    .map(Measured::of)
                    .toList();
        }
    }

    @ParameterizedTest
    @CsvSource({"gemm-rates-h200.csv, 1.02, 0.985, 0.97", "gemm-rates-h200-sustained.csv, 1.01, 0.995, 0.98"})
    void choosesKernelsNearTheBest(String file, double ofBest, double ofFirst, double ofLibtorch) throws IOException {
        double best = 0;
        double chosen = 0;
        double first = 0;
        double libtorch = 0;
        for (Measured product : measured(file)) {
            double work = product.shape().operations();
            best += work / product.best();
            chosen += work / product.chosen();
            first += work / product.rates()[0];
            libtorch += work / product.libtorch();
        }
        assertTrue(chosen < ofBest * best, chosen / best + " of the best kernels' time");
        assertTrue(chosen < ofFirst * first, chosen / first + " of the time of cuBLAS's first choices");
        assertTrue(chosen < ofLibtorch * libtorch, chosen / libtorch + " of libtorch's time");
    }

    @Test
    void aTileMoreThanTheWavesHoldCostsAnotherWave() {
        GemmTiling tiling = new GemmTiling(20, 1); // 128 x 128
        double one = tiling.seconds(transposed(128 * 132, 128, 4096), MULTIPROCESSORS);
        assertEquals(one, tiling.seconds(transposed(128 * 100, 128, 4096), MULTIPROCESSORS));
        assertEquals(2 * one, tiling.seconds(transposed(128 * 132 + 8, 128, 4096), MULTIPROCESSORS), 1e-9 * one);
        assertEquals(one / 2, tiling.seconds(transposed(128 * 132, 128, 2048), MULTIPROCESSORS), 1e-9 * one);
    }

    @Test
    void fewTilesAreSplitOverKAndManyAreNot() {
        List<GemmTiling> kernels = List.of(new GemmTiling(20, 1), new GemmTiling(20, 4));
        assertEquals(1, GemmTiling.fastest(kernels, transposed(512, 512, 65536), MULTIPROCESSORS));
        assertEquals(0, GemmTiling.fastest(kernels, transposed(16384, 4096, 4096), MULTIPROCESSORS));
    }

    @Test
    void fewRowsSplitKLeast() {
        List<GemmTiling> kernels =
                List.of(new GemmTiling(27, 3), new GemmTiling(15, 2), new GemmTiling(13, 1), new GemmTiling(20, 1));
        assertEquals(2, GemmTiling.leastSplit(kernels));
        assertTrue(transposed(4096, 64, 4096).hasFewRows());
        assertFalse(transposed(4096, 16, 4096).hasFewRows());
        assertFalse(transposed(4096, 65, 4096).hasFewRows());
    }

    @Test
    void aTileThatWasNotMeasuredIsTakenOnlyAlone() {
        GemmTiling unknown = new GemmTiling(9999, 1);
        assertEquals(1, GemmTiling.fastest(List.of(unknown, new GemmTiling(25, 1)), transposed(4096, 4096, 4096), 132));
        assertEquals(0, GemmTiling.fastest(List.of(unknown), transposed(4096, 4096, 4096), 132));
    }
}
