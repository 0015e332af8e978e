package dev.finetune4j.core.kernel.cuda;

import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Finds the quickest of several kernels for one product. They first run a few milliseconds each; those that come near the
 * quickest then run as long as it takes a GPU to reach its power limit, where a kernel that moves less data keeps a higher clock:
 * on an H200 the quickest of the short runs was up to 5 % slower in the long ones than another.
 *
 * @param operations of the product
 * @param kernels how many there are
 * @param timing runs them
 */
record AlgorithmBenchmark(double operations, int kernels, Timing timing) {
    private static final Logger LOG = LoggerFactory.getLogger(AlgorithmBenchmark.class);
    private static final int ROUNDS = 5;
    private static final double OPERATIONS_OF_A_ROUND = 2e12;
    /** A product of fewer operations does not run long enough without a pause for the power to matter. */
    private static final double MIN_LONG_OPERATIONS = 5e10;
    /** Of the quickest one's time, what a kernel may take to run in the long trial. */
    private static final double NEAR = 1.08;

    private static final int MAX_NEAR = 5;
    private static final int LONG_ROUNDS = 2;
    private static final double SETTLING_SECONDS = 0.025;
    private static final double LONG_SECONDS = 0.03;
    /** How much of the first kernel's time another one may take to be preferred, in short and in long runs. */
    private static final double PREFERRED = 0.98;

    private static final double PREFERRED_LONG = 0.99;

    /** How long a kernel takes. */
    @FunctionalInterface
    interface Timing {
        /**
         * Seconds of one of several calls without a pause; infinite when the kernel is refused.
         *
         * @param kernel its number
         */
        double seconds(int kernel, int calls);
    }

    /**
     * The number of the kernel to take: of those near the quickest the first, as cuBLAS orders them, unless another is clearly
     * quicker. Empty when all are refused.
     */
    OptionalInt quickest() {
        double[] shortRuns = shortRuns();
        List<Integer> near = near(shortRuns);
        if (near.isEmpty()) {
            return OptionalInt.empty();
        }
        if (operations < MIN_LONG_OPERATIONS) {
            return OptionalInt.of(
                    best(shortRuns, IntStream.range(0, kernels).boxed().toList(), PREFERRED));
        }
        double[] longRuns = near.size() == 1 ? shortRuns : longRuns(shortRuns, near);
        int chosen = best(longRuns, near, PREFERRED_LONG);
        LOG.debug(
                "kernel {} of {}: short runs {}, long runs of {} {} s",
                chosen,
                kernels,
                Arrays.toString(shortRuns),
                near,
                Arrays.toString(longRuns));
        return OptionalInt.of(chosen);
    }

    /** Those whose time is near the shortest, in the order of cuBLAS; none of those that are refused. */
    static List<Integer> near(double[] seconds) {
        double shortest = Arrays.stream(seconds).min().orElseThrow();
        return IntStream.range(0, seconds.length)
                .boxed()
                .filter(i -> Double.isFinite(seconds[i]) && seconds[i] <= NEAR * shortest)
                .sorted(Comparator.comparingDouble(i -> seconds[i]))
                .limit(MAX_NEAR)
                .sorted()
                .toList();
    }

    /** The one of the shortest time; the first of the candidates where that is not clearly longer. */
    static int best(double[] seconds, List<Integer> candidates, double preferred) {
        int first = candidates.get(0);
        int best = first;
        for (int i : candidates) {
            best = seconds[i] < seconds[best] ? i : best;
        }
        return seconds[best] < preferred * seconds[first] ? best : first;
    }

    /** In turns, so that a GPU which changes its clock does so to all alike; the first round wakes them up. */
    private double[] shortRuns() {
        int calls = (int) Math.max(1, Math.round(OPERATIONS_OF_A_ROUND / operations));
        double[][] times = new double[kernels][ROUNDS];
        for (int round = -1; round < ROUNDS; round++) {
            for (int i = 0; i < kernels; i++) {
                double seconds = timing.seconds(i, calls);
                if (round >= 0) {
                    times[i][round] = seconds;
                }
            }
        }
        return Arrays.stream(times)
                .mapToDouble(ofKernel -> Arrays.stream(ofKernel).sorted().toArray()[ROUNDS / 2])
                .toArray();
    }

    /** Mean times once the clock has settled to what each kernel lets the power limit allow. */
    private double[] longRuns(double[] shortRuns, List<Integer> near) {
        double[] means = new double[kernels];
        Arrays.fill(means, Double.POSITIVE_INFINITY);
        for (int i : near) {
            means[i] = 0;
        }
        for (int round = 0; round < LONG_ROUNDS; round++) {
            for (int i : near) {
                timing.seconds(i, calls(SETTLING_SECONDS, shortRuns[i]));
                means[i] += timing.seconds(i, calls(LONG_SECONDS, shortRuns[i])) / LONG_ROUNDS;
            }
        }
        return means;
    }

    private static int calls(double seconds, double ofOne) {
        return (int) Math.max(1, Math.round(seconds / ofOne));
    }
}
