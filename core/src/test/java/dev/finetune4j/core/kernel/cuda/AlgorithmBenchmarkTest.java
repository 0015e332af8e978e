package dev.finetune4j.core.kernel.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/** Which kernels go on to the long trial, and which one is taken. */
class AlgorithmBenchmarkTest {
    private static final double REFUSED = Double.POSITIVE_INFINITY;
    private static final double SMALL = 3e10;
    private static final double LARGE = 4e11;

    /**
     * A GPU with a power limit: a kernel that comes right behind 20 ms of its own runs as slowly as the limit makes it, others at a
     * full clock. The first call of each is slow, and one later.
     */
    private static final class Gpu implements AlgorithmBenchmark.Timing {
        private final double[] cool;
        private final double[] limited;
        private final int[] calls;
        private int hot = -1;

        Gpu(double[] cool, double[] limited) {
            this.cool = cool;
            this.limited = limited;
            calls = new int[cool.length];
        }

        @Override
        public double seconds(int kernel, int times) {
            double seconds = hot == kernel ? limited[kernel] : cool[kernel];
            hot = times * seconds >= 0.02 ? kernel : -1;
            int before = calls[kernel]++;
            return before == 0 || before == 3 ? 4 * seconds : seconds;
        }
    }

    private static OptionalInt quickest(double operations, double[] cool, double[] limited) {
        return new AlgorithmBenchmark(operations, cool.length, new Gpu(cool, limited)).quickest();
    }

    @Test
    void theQuickestUnderThePowerLimitIsTaken() {
        double[] cool = {5.4e-4, 5.2e-4, 5.1e-4, 7e-4, REFUSED};
        double[] limited = {5.8e-4, 5.5e-4, 6.1e-4, 5e-4, REFUSED};
        assertEquals(
                OptionalInt.of(1), quickest(LARGE, cool, limited), "the fourth is too slow to be tried any longer");
        assertEquals(OptionalInt.of(2), quickest(LARGE, cool, cool));
    }

    @Test
    void aSmallProductIsTriedInShortRunsOnly() {
        double[] cool = {5.4e-5, 5.2e-5, 5.1e-5};
        double[] limited = {5.8e-5, 5.5e-5, 6.1e-5};
        assertEquals(OptionalInt.of(2), quickest(SMALL, cool, limited));
    }

    @Test
    void theFirstIsPreferredByTwoPercentInShortRunsAndByOneInLongOnes() {
        double[] seconds = {1e-3, 0.985e-3};
        assertEquals(OptionalInt.of(0), quickest(SMALL, seconds, seconds));
        assertEquals(OptionalInt.of(1), quickest(LARGE, seconds, seconds));
        double[] nearly = {1e-3, 0.992e-3};
        assertEquals(OptionalInt.of(0), quickest(LARGE, nearly, nearly));
    }

    @Test
    void refusedKernelsAreNotTaken() {
        double[] seconds = {REFUSED, REFUSED, 5e-4};
        assertEquals(OptionalInt.of(2), quickest(LARGE, seconds, seconds));
        assertEquals(OptionalInt.of(2), quickest(SMALL, seconds, seconds));
        double[] none = {REFUSED, REFUSED};
        assertEquals(OptionalInt.empty(), quickest(LARGE, none, none));
        assertEquals(OptionalInt.empty(), quickest(SMALL, none, none));
    }

    @Test
    void thoseNearTheShortestTimeAreTriedLonger() {
        assertEquals(List.of(0, 2), AlgorithmBenchmark.near(new double[] {1.05, 1.2, 1.0, REFUSED}));
        assertEquals(List.of(1), AlgorithmBenchmark.near(new double[] {2, 1, 1.5}));
        assertEquals(
                List.of(1, 2, 3, 4, 6), AlgorithmBenchmark.near(new double[] {1.07, 1.01, 1, 1.02, 1.03, 1.06, 1.04}));
    }

    @Test
    void theFirstOneStaysUnlessAnotherIsClearlyQuicker() {
        double[] seconds = {1.0, 0.985, 0.97, REFUSED};
        assertEquals(2, AlgorithmBenchmark.best(seconds, List.of(0, 1, 2, 3), 0.98));
        assertEquals(0, AlgorithmBenchmark.best(seconds, List.of(0, 1), 0.98));
        assertEquals(1, AlgorithmBenchmark.best(seconds, List.of(1, 3), 0.98));
    }
}
