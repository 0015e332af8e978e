package dev.finetune4j.core.cuda;

import java.util.Arrays;
import java.util.List;
import java.util.function.IntUnaryOperator;
import java.util.stream.IntStream;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.global.cudart;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Finds the quickest of several kernels for one product. They first run a few milliseconds each; those that come near the
 * quickest then run as long as it takes a GPU to reach its power limit, where a kernel that moves less data keeps a higher clock:
 * on an H200 the quickest of the short runs was up to 5 % slower in the long ones than another.
 */
final class ProductTrial {
    private static final Logger LOG = LoggerFactory.getLogger(ProductTrial.class);
    private static final int ROUNDS = 5;
    private static final double OPERATIONS_OF_A_ROUND = 2e12;
    /** A product of fewer operations does not run long enough in one piece for the power to matter. */
    private static final double LEAST_LONG_OPERATIONS = 5e10;
    /** Of the quickest one's time, what a kernel may take to run in the long trial. */
    private static final double NEAR = 1.08;

    private static final int MOST_NEAR = 5;
    private static final int LONG_ROUNDS = 2;
    private static final double SETTLING_SECONDS = 0.025;
    private static final double LONG_SECONDS = 0.03;
    /** How much of the first kernel's time another one may take to be preferred, in short and in long runs. */
    private static final double PREFERRED = 0.98;

    private static final double PREFERRED_LONG = 0.99;

    private final double operations;
    private final int kernels;
    private final IntUnaryOperator launch;
    private final @Nullable CUstream_st stream;

    /**
     * A trial.
     *
     * @param operations of the product
     * @param kernels how many there are
     * @param launch puts the product by the kernel of a number into the stream; not 0 when it is refused
     * @param stream where the kernels run
     */
    ProductTrial(double operations, int kernels, IntUnaryOperator launch, @Nullable CUstream_st stream) {
        this.operations = operations;
        this.kernels = kernels;
        this.launch = launch;
        this.stream = stream;
    }

    /** The number of the kernel to take; 0, cuBLAS's own choice, unless another one is clearly quicker. */
    int quickest() {
        double[] shortRuns = shortRuns();
        int best = best(shortRuns, allOf(shortRuns), PREFERRED);
        if (operations < LEAST_LONG_OPERATIONS) {
            return best;
        }
        List<Integer> near = near(shortRuns);
        if (near.size() == 1) {
            return near.get(0);
        }
        double[] longRuns = longRuns(shortRuns, near);
        int chosen = best(longRuns, near, PREFERRED_LONG);
        LOG.debug(
                "kernel {} of {}: short runs {}, long runs of {} {} s",
                chosen,
                kernels,
                Arrays.toString(shortRuns),
                near,
                Arrays.toString(longRuns));
        return chosen;
    }

    /** Those whose time is near the shortest, in the order of cuBLAS. */
    static List<Integer> near(double[] seconds) {
        double shortest = Arrays.stream(seconds).min().orElseThrow();
        return allOf(seconds).stream()
                .filter(i -> seconds[i] <= NEAR * shortest)
                .sorted((a, b) -> Double.compare(seconds[a], seconds[b]))
                .limit(MOST_NEAR)
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

    private static List<Integer> allOf(double[] seconds) {
        return IntStream.range(0, seconds.length).boxed().toList();
    }

    /** In turns, so that a GPU which changes its clock does so to all alike; the first round wakes them up. */
    private double[] shortRuns() {
        int calls = (int) Math.max(1, Math.round(OPERATIONS_OF_A_ROUND / operations));
        double[][] times = new double[kernels][ROUNDS];
        for (int round = -1; round < ROUNDS; round++) {
            for (int i = 0; i < kernels; i++) {
                double seconds = seconds(i, calls);
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
        double[] sums = new double[kernels];
        Arrays.fill(sums, Double.POSITIVE_INFINITY);
        for (int i : near) {
            sums[i] = 0;
        }
        for (int round = 0; round < LONG_ROUNDS; round++) {
            for (int i : near) {
                seconds(i, calls(SETTLING_SECONDS, shortRuns[i]));
                sums[i] += seconds(i, calls(LONG_SECONDS, shortRuns[i]));
            }
        }
        return Arrays.stream(sums).map(sum -> sum / LONG_ROUNDS).toArray();
    }

    private static int calls(double seconds, double ofOne) {
        return (int) Math.max(1, Math.round(seconds / ofOne));
    }

    /** Of one call. */
    private double seconds(int kernel, int calls) {
        CudaModule.check(cudart.cudaStreamSynchronize(stream), "waiting for the GPU");
        long start = System.nanoTime();
        for (int i = 0; i < calls; i++) {
            if (launch.applyAsInt(kernel) != 0) {
                return Double.POSITIVE_INFINITY;
            }
        }
        CudaModule.check(cudart.cudaStreamSynchronize(stream), "waiting for the GPU");
        return (System.nanoTime() - start) / 1e9 / calls;
    }
}
