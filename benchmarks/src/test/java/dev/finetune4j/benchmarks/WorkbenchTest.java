package dev.finetune4j.benchmarks;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class WorkbenchTest {
    @Test
    void mistakesInParametersAreNamed() {
        assertTrue(message(() -> Workbench.of("gpu", "bf16")).contains("cpu or cuda, not gpu"));
        assertTrue(message(() -> Workbench.of("cpu", "fp16")).contains("bf16 or fp32, not fp16"));
        assertTrue(message(() -> WeightForm.of("int8")).contains("dense or nf4, not int8"));
        assertTrue(message(() -> MatrixShape.of("4096")).contains("OUTxIN"));
    }

    private static String message(Runnable mistake) {
        return assertThrows(IllegalArgumentException.class, mistake::run).getMessage();
    }

    @Test
    void aRotationUsesAllCopiesInTurnAndClosesThem() throws Exception {
        AtomicInteger made = new AtomicInteger();
        AtomicInteger closed = new AtomicInteger();
        AutoCloseable[] turns = new AutoCloseable[6];
        try (Rotation<AutoCloseable> rotation = new Rotation<>(
                () -> {
                    made.incrementAndGet();
                    return closed::incrementAndGet;
                },
                400_000,
                1)) {
            assertEquals(3, rotation.size());
            for (int i = 0; i < turns.length; i++) {
                turns[i] = rotation.next();
            }
        }
        assertEquals(3, made.get());
        assertEquals(3, closed.get());
        for (int i = 0; i < 3; i++) {
            assertEquals(turns[i], turns[i + 3]);
        }
    }

    @Test
    void newerJavaIsGivenLeaveToLoadNativeCode() {
        assertArrayEquals(new String[] {"Linear"}, BenchmarkMain.forJmh(17, "Linear"));
        assertArrayEquals(
                new String[] {"Linear", "-jvmArgsPrepend", "--enable-native-access=ALL-UNNAMED"},
                BenchmarkMain.forJmh(25, "Linear"));
        String[] own = {"-jvmArgsPrepend", "-Xmx1g"};
        assertArrayEquals(own, BenchmarkMain.forJmh(25, own));
    }

    @Test
    void aTrainingThatFailsSaysSo() {
        Exception e = assertThrows(
                IOException.class,
                () -> new SteppedTraining(
                        RandomModel.TINY,
                        WeightForm.DENSE,
                        Workbench.of("cpu", "fp32").placement(),
                        new SteppedTraining.Size(1, 0),
                        false));
        assertEquals("the training did not start", e.getMessage());
    }

    @Test
    void thePeakOfMemoryIsThatOfThisProcess() {
        long peak = PeakMemoryProfiler.peakBytes();
        assertTrue(peak > 50L << 20 && peak < 1L << 40, () -> peak + " bytes");
    }
}
