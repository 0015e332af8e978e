package dev.finetune4j.core.kernel.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AlgorithmCacheTest {
    private static final GemmShape SHAPE = new GemmShape(11008, 4096, 4096, 4096, 4096, 22016, true);
    private static final long[] KERNEL = {1, -2, Long.MAX_VALUE, 0, 5, 6, 7, 8};

    @TempDir
    Path folder;

    @Test
    void aChoiceIsThereAgainInAnotherRun() {
        Path file = folder.resolve("new/products.json");
        AlgorithmCache.in(file).put(SHAPE, KERNEL);
        assertArrayEquals(KERNEL, AlgorithmCache.in(file).get(SHAPE).orElseThrow());
        assertTrue(AlgorithmCache.in(file).get(SHAPE.ofGradient()).isEmpty());
    }

    @Test
    void gapsBetweenRowsShareAChoice() {
        AlgorithmCache choices = AlgorithmCache.in(folder.resolve("products.json"));
        choices.put(SHAPE, KERNEL);
        GemmShape packed = new GemmShape(11008, 4096, 4096, 4096, 4096, 11008, true);
        assertArrayEquals(KERNEL, choices.get(packed).orElseThrow());
    }

    @Test
    void nearlyAsManyRowsShareAChoice() {
        AlgorithmCache choices = AlgorithmCache.in(folder.resolve("products.json"));
        choices.put(SHAPE, KERNEL);
        assertTrue(choices.get(withRows(3585)).isPresent());
        assertTrue(choices.get(withRows(3584)).isEmpty());
        assertTrue(choices.get(withRows(4097)).isEmpty());
        for (int rows = 1; rows < 10; rows++) {
            assertEquals(
                    rows <= 8 ? "11008x" + rows + "x4096t" : "11008x10x4096t",
                    withRows(rows).key());
        }
    }

    private static GemmShape withRows(long rows) {
        return new GemmShape(11008, rows, 4096, 4096, 4096, 22016, true);
    }

    @Test
    void twoRunsKeepTheChoicesOfBoth() {
        Path file = folder.resolve("products.json");
        AlgorithmCache one = AlgorithmCache.in(file);
        AlgorithmCache two = AlgorithmCache.in(file);
        one.put(SHAPE, KERNEL);
        two.put(SHAPE.ofGradient(), KERNEL);
        AlgorithmCache both = AlgorithmCache.in(file);
        assertTrue(both.get(SHAPE).isPresent() && both.get(SHAPE.ofGradient()).isPresent());
    }

    @Test
    void aDamagedFileIsAsNone() throws IOException {
        Path file = folder.resolve("products.json");
        Files.writeString(file, "{\"11008x4096x4096t\": [1, 2");
        AlgorithmCache choices = AlgorithmCache.in(file);
        assertTrue(choices.get(SHAPE).isEmpty());
        choices.put(SHAPE, KERNEL);
        assertArrayEquals(KERNEL, AlgorithmCache.in(file).get(SHAPE).orElseThrow());
        try (var files = Files.list(folder)) {
            assertEquals(List.of(file), files.toList(), "nothing half-written stays");
        }
    }

    @Test
    void aChoiceOfAnotherLengthIsAsNone() throws IOException {
        Path file = folder.resolve("products.json");
        AlgorithmCache.in(file).put(SHAPE.ofGradient(), KERNEL);
        String whole = Files.readString(file);
        Files.writeString(
                file,
                whole.replaceFirst(
                        "\\{",
                        "{\"11008x4096x4096t\": [1, 2], \"11008x8x4096t\": [1, 2, 3, 4, 5, 6, 7, 8, 9], \"1x2x3t\": null, "));
        AlgorithmCache choices = AlgorithmCache.in(file);
        assertTrue(choices.get(SHAPE).isEmpty());
        assertTrue(choices.get(withRows(8)).isEmpty());
        assertArrayEquals(KERNEL, choices.get(SHAPE.ofGradient()).orElseThrow());
        choices.put(SHAPE, KERNEL);
        assertArrayEquals(KERNEL, AlgorithmCache.in(file).get(SHAPE).orElseThrow());
        Files.writeString(file, "null");
        assertTrue(AlgorithmCache.in(file).get(SHAPE).isEmpty());
    }

    @Test
    void rowsThatTheChoiceOfNearlyAsManyDoesNotServeHaveTheirOwn() {
        Path file = folder.resolve("products.json");
        long[] other = KERNEL.clone();
        other[0] = 9;
        AlgorithmCache choices = AlgorithmCache.in(file);
        choices.put(SHAPE, KERNEL);
        choices.put(withRows(4000), other);
        for (AlgorithmCache each : List.of(choices, AlgorithmCache.in(file))) {
            assertArrayEquals(other, each.get(withRows(4000)).orElseThrow());
            assertArrayEquals(KERNEL, each.get(SHAPE).orElseThrow());
            assertArrayEquals(KERNEL, each.get(withRows(3999)).orElseThrow());
        }
    }

    @Test
    void theGradientsProductTurnsTheShape() {
        assertEquals(new GemmShape(4096, 4096, 11008, 4096, 11008, 4096, false), SHAPE.ofGradient());
    }
}
