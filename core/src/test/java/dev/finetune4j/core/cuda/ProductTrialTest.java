package dev.finetune4j.core.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Which kernels go on to the long trial, and which one is taken. */
class ProductTrialTest {
    private static final double REFUSED = Double.POSITIVE_INFINITY;
    private static final double SMALL = 3e10;
    private static final double LARGE = 4e11;

    /** Times of one call: at a full clock, and where a run is so long that the power limit holds. */
    private static ProductTrial trial(double operations, double[] cool, double[] limited) {
        return new ProductTrial(
                operations,
                cool.length,
                (kernel, calls) -> calls * cool[kernel] < 0.02 ? cool[kernel] : limited[kernel]);
    }

    @Test
    void theQuickestUnderThePowerLimitIsTaken() {
        double[] cool = {5.4e-4, 5.2e-4, 5.1e-4, 7e-4, REFUSED};
        double[] limited = {5.8e-4, 5.5e-4, 6.1e-4, 5e-4, REFUSED};
        assertEquals(1, trial(LARGE, cool, limited).quickest(), "the last one is too slow to be tried any longer");
        assertEquals(2, trial(LARGE, cool, cool).quickest());
    }

    @Test
    void aSmallProductIsTriedInShortRunsOnly() {
        double[] cool = {5.4e-5, 5.2e-5, 5.1e-5};
        double[] limited = {5.8e-5, 5.5e-5, 6.1e-5};
        assertEquals(2, trial(SMALL, cool, limited).quickest());
    }

    @Test
    void refusedKernelsAreNotTaken() {
        double[] seconds = {REFUSED, REFUSED, 5e-4};
        assertEquals(2, trial(LARGE, seconds, seconds).quickest());
        assertEquals(2, trial(SMALL, seconds, seconds).quickest());
    }

    @Test
    void thoseNearTheShortestTimeAreTriedLonger() {
        assertEquals(List.of(0, 2), ProductTrial.near(new double[] {1.05, 1.2, 1.0, REFUSED}));
        assertEquals(List.of(1), ProductTrial.near(new double[] {2, 1, 1.5}));
        assertEquals(List.of(1, 2, 3, 4, 6), ProductTrial.near(new double[] {1.07, 1.01, 1, 1.02, 1.03, 1.06, 1.04}));
    }

    @Test
    void theFirstOneStaysUnlessAnotherIsClearlyQuicker() {
        double[] seconds = {1.0, 0.985, 0.97, REFUSED};
        assertEquals(2, ProductTrial.best(seconds, List.of(0, 1, 2, 3), 0.98));
        assertEquals(0, ProductTrial.best(seconds, List.of(0, 1), 0.98));
        assertEquals(1, ProductTrial.best(seconds, List.of(1, 3), 0.98));
    }
}
