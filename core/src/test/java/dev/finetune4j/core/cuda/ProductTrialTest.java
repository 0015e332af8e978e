package dev.finetune4j.core.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Which kernels go on to the long trial, and which one is taken. */
class ProductTrialTest {
    private static final double REFUSED = Double.POSITIVE_INFINITY;

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
