package dev.finetune4j.core.kernel.cuda;

import java.util.List;
import java.util.Map;

/**
 * How a GEMM kernel cuts the result into tiles, and how long the product takes by it on a GPU of the Hopper generation. Each
 * multiprocessor works on one tile at a time, so the time goes up in steps, one for each wave of tiles
 * (<a href="https://docs.nvidia.com/deeplearning/performance/dl-performance-matrix-multiplication/index.html">tile and wave
 * quantization</a>): {@code waves · tile rows · tile columns · k / rate of the tile}. A kernel that splits k over several tiles
 * writes and adds up partial results in float32.
 *
 * <p>The rates are those of an H200 at its power limit, where a large tile, which moves fewer operands, keeps a higher clock: of
 * 40 products of a 6B model's layers with 2,048 to 8,192 rows, each kernel for 70 ms, the ones chosen by this estimate took 0.8 %
 * longer in sum than the fastest of the eight that cuBLAS proposes for each, its own first choices 1.5 % and libtorch's 3.2 %. In
 * runs of 3 ms over 846 products of seven model families with 256 to 8,192 rows it was 1.9, 3.6 and 5.6 %.
 *
 * @param tile cuBLAS's number of the size of the tile
 * @param splitK over how many tiles the sum over k is split, at least 1
 */
record GemmTiling(int tile, int splitK) {
    /** What one multiprocessor of an H200 multiplies in the best of tiles under its power limit. */
    private static final double OPERATIONS_PER_SECOND = 5.31e12;
    /** Reading and writing of partial results, and the launch of the kernel that adds them up. */
    private static final double BYTES_PER_SECOND = 1e12;

    private static final double SECOND_KERNEL_SECONDS = 4e-6;

    /** Size of a tile in the result as cuBLAS has it, its rows being our columns, and its rate beside the best one's. */
    private record Tile(int rows, int columns, double rate) {}

    private static final Map<Integer, Tile> TILES = Map.ofEntries(
            Map.entry(19, new Tile(64, 256, 0.93)),
            Map.entry(20, new Tile(128, 128, 0.96)),
            Map.entry(21, new Tile(256, 64, 0.94)),
            Map.entry(22, new Tile(64, 512, 0.65)),
            Map.entry(23, new Tile(128, 256, 0.99)),
            Map.entry(24, new Tile(256, 128, 1.0)),
            Map.entry(25, new Tile(512, 64, 0.63)),
            Map.entry(28, new Tile(96, 128, 0.94)),
            Map.entry(29, new Tile(128, 160, 0.98)),
            Map.entry(31, new Tile(192, 128, 0.95)),
            Map.entry(32, new Tile(128, 192, 0.95)),
            Map.entry(116, new Tile(64, 192, 0.88)),
            Map.entry(118, new Tile(64, 384, 0.89)),
            Map.entry(135, new Tile(80, 128, 0.88)),
            Map.entry(165, new Tile(112, 128, 0.95)),
            Map.entry(184, new Tile(144, 128, 0.98)),
            Map.entry(197, new Tile(168, 128, 0.98)),
            Map.entry(201, new Tile(176, 128, 0.98)),
            Map.entry(208, new Tile(192, 64, 0.86)),
            Map.entry(209, new Tile(192, 192, 0.98)),
            Map.entry(247, new Tile(320, 64, 0.94)),
            Map.entry(248, new Tile(320, 128, 0.98)),
            Map.entry(263, new Tile(384, 64, 0.87)),
            Map.entry(272, new Tile(448, 64, 0.6)),
            Map.entry(400, new Tile(128, 80, 0.89)),
            Map.entry(495, new Tile(256, 96, 0.96)));

    /** Seconds of the product; infinite for a tile that was not measured. */
    double seconds(GemmShape shape, int multiprocessors) {
        Tile size = TILES.get(tile);
        if (size == null) {
            return Double.POSITIVE_INFINITY;
        }
        long tiles = ceilDiv(shape.m(), size.rows()) * ceilDiv(shape.n(), size.columns()) * splitK;
        double operations = 2.0 * size.rows() * size.columns() * shape.k() / splitK;
        double product = ceilDiv(tiles, multiprocessors) * operations / (OPERATIONS_PER_SECOND * size.rate());
        return splitK == 1
                ? product
                : product
                        + SECOND_KERNEL_SECONDS
                        + (double) splitK * shape.m() * shape.n() * Float.BYTES / BYTES_PER_SECOND;
    }

    private static long ceilDiv(long a, long b) {
        return (a + b - 1) / b;
    }

    /**
     * The index of the first that splits k least. With few rows all of them read the weight once, and what partial results take comes on
     * top: with 64 rows on an H200 the choice among eight took 11.5, 13.9, 25.9 and 49.7 µs for weights of 4096×4096, 5120×4096,
     * 4096×11008 and 22016×4096, cuBLAS's own 11.6, 13.8, 29.5 and 50.1.
     */
    static int leastSplit(List<GemmTiling> kernels) {
        int best = 0;
        for (int i = 1; i < kernels.size(); i++) {
            if (kernels.get(i).splitK() < kernels.get(best).splitK()) {
                best = i;
            }
        }
        return best;
    }

    /** The index of the fastest of several; of equal ones the first, as cuBLAS orders them. */
    static int fastest(List<GemmTiling> kernels, GemmShape shape, int multiprocessors) {
        int best = 0;
        for (int i = 1; i < kernels.size(); i++) {
            if (kernels.get(i).seconds(shape, multiprocessors)
                    < kernels.get(best).seconds(shape, multiprocessors)) {
                best = i;
            }
        }
        return best;
    }
}
