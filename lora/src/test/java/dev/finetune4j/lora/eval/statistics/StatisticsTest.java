package dev.finetune4j.lora.eval.statistics;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class StatisticsTest {
    private static double mean(double... sums) {
        return sums[0] / sums[1];
    }

    /** Ends by scipy 1.17.1, {@code binomtest(k, n).proportion_ci(method="wilson")}. */
    @ParameterizedTest
    @CsvSource({
        "0, 10, 0.0, 0.27753279986288926",
        "3, 10, 0.10779126740630102, 0.6032218525388546",
        "10, 10, 0.7224672001371109, 1.0",
        "37, 91, 0.311447855709545, 0.5093056395299163",
        "1, 1, 0.20654931437723745, 1.0",
        "489, 500, 0.9610391387886836, 0.9876719917300725"
    })
    void wilsonIsThatOfScipy(int successes, int trials, double low, double high) {
        assertArrayEquals(new double[] {low, high}, Proportion.wilson(successes, trials), 1e-14);
    }

    /** The examples of Newcombe's paper, method 10. */
    @ParameterizedTest
    @CsvSource({"56, 70, 48, 80, 0.0524, 0.3339", "9, 10, 3, 10, 0.1705, 0.8090", "10, 10, 0, 10, 0.6075, 1.0"})
    void newcombeIsThatOfThePaper(int first, int trials, int second, int otherTrials, double low, double high) {
        assertArrayEquals(new double[] {low, high}, Proportion.newcombe(first, trials, second, otherTrials), 5e-5);
    }

    /** By scipy 1.17.1, {@code binomtest(min(b, c), b + c, 0.5)}. */
    @ParameterizedTest
    @CsvSource({
        "0, 0, 1",
        "1, 0, 1",
        "0, 6, 0.03125",
        "2, 9, 0.0654296875",
        "15, 40, 0.0010158471941252854",
        "300, 360, 0.02157234823197109",
        "5, 5, 1",
        "1200, 1300, 0.047681865221043444"
    })
    void mcNemarIsTheBinomialTest(int first, int second, double expected) {
        assertEquals(expected, Proportion.mcNemar(first, second), 1e-11);
        assertEquals(expected, Proportion.mcNemar(second, first), 1e-11);
    }

    @Test
    void aBootstrapOfAMeanIsNearItsNormalInterval() {
        SplittableRandom random = new SplittableRandom(3);
        List<double[]> items = new ArrayList<>();
        double sum = 0;
        double squares = 0;
        for (int i = 0; i < 400; i++) {
            double value = random.nextDouble();
            sum += value;
            squares += value * value;
            items.add(new double[] {value, 1});
        }
        double mean = sum / 400;
        double half = 1.96 * Math.sqrt((squares / 400 - mean * mean) / 400);
        double[] ends = new Bootstrap(StatisticsTest::mean, 1).interval(items);
        assertEquals(mean - half, ends[0], 0.2 * half);
        assertEquals(mean + half, ends[1], 0.2 * half);
        assertArrayEquals(ends, new Bootstrap(StatisticsTest::mean, 1).interval(items), "the same seed");
        assertTrue(ends[0] != new Bootstrap(StatisticsTest::mean, 2).interval(items)[0], "another seed");
    }

    /** Of many pairs without a difference about one in twenty is below 0.05, and a true difference is found. */
    @Test
    void aPairedBootstrapKeepsItsLevelAndFindsWhatIsThere() {
        SplittableRandom random = new SplittableRandom(11);
        int found = 0;
        int trials = 200;
        for (int t = 0; t < trials; t++) {
            List<double[]> first = new ArrayList<>();
            List<double[]> second = new ArrayList<>();
            for (int i = 0; i < 60; i++) {
                double shared = random.nextDouble();
                first.add(new double[] {shared + 0.3 * random.nextDouble(), 1});
                second.add(new double[] {shared + 0.3 * random.nextDouble(), 1});
            }
            found +=
                    new Bootstrap(StatisticsTest::mean, t).paired(first, second).pValue() < 0.05 ? 1 : 0;
        }
        assertTrue(found >= 3 && found <= 20, found + " of " + trials);
        List<double[]> low = new ArrayList<>();
        List<double[]> high = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            double shared = random.nextDouble();
            low.add(new double[] {shared, 1});
            high.add(new double[] {shared + 0.05 + 0.01 * random.nextDouble(), 1});
        }
        Bootstrap.Difference difference = new Bootstrap(StatisticsTest::mean, 1).paired(low, high);
        assertEquals(1.0 / 1001, difference.pValue());
        assertTrue(difference.low() > 0.04 && difference.high() < 0.07, difference.toString());
    }
}
