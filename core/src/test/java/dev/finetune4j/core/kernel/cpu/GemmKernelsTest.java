package dev.finetune4j.core.kernel.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.Threads;
import dev.finetune4j.testsupport.Needs;
import java.util.List;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Dense products of each level that the machine has, against libtorch's in float64. Each number may differ by what float32
 * sums lose, some roundings of the sum of the terms' magnitudes, and by one rounding to the type of the result.
 */
class GemmKernelsTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();
    private static final double SUM_ROUNDINGS = 8 * Math.pow(2, -24);
    private static final double BF16_ROUNDING = Math.pow(2, -8);

    /** Rows, columns, terms: one of each, odd, at and beyond the sizes of tiles, panels and blocks. */
    private static final List<long[]> SHAPES = List.of(
            new long[] {1, 1, 1},
            new long[] {1, 130, 33},
            new long[] {4, 37, 515},
            new long[] {5, 3, 2},
            new long[] {7, 31, 17},
            new long[] {12, 128, 512},
            new long[] {13, 129, 1025},
            new long[] {16, 48, 600},
            new long[] {61, 16, 96},
            new long[] {200, 257, 34},
            new long[] {530, 35, 19});

    private final SplittableRandom random = new SplittableRandom(5);
    private TensorScope scope;

    @BeforeEach
    void open() {
        scope = new TensorScope();
    }

    @AfterEach
    void close() {
        scope.close();
    }

    /** A matrix whose rows have gaps between them. */
    private Tensor matrix(ScalarType type, long rows, long columns) {
        return Tensors.uniform(CPU, random, 1, rows, columns + 5).to(type).narrow(1, 3, columns);
    }

    private static Tensor exact(Tensor x) {
        return x.to(ScalarType.Double);
    }

    /**
     * @param product in float64
     * @param magnitudes the same product of magnitudes
     */
    private static void assertNear(Tensor product, Tensor magnitudes, Tensor actual, String what) {
        double rounding = Tensors.typeOf(actual) == ScalarType.Float ? Math.pow(2, -24) : BF16_ROUNDING;
        Tensor most =
                magnitudes.mul(new Scalar(SUM_ROUNDINGS)).add(product.abs().mul(new Scalar(rounding)));
        double worst = exact(actual).sub(product).abs().sub(most).max().item_double();
        assertTrue(worst <= 1e-30, () -> what + " is further from the product than its tolerance, by " + worst);
    }

    private void everywhere(CpuLevel level, ShapeCheck check) {
        GemmKernels products = Needs.cpuKernels(level).products();
        for (ScalarType type : List.of(ScalarType.Float, ScalarType.BFloat16)) {
            for (long[] s : SHAPES) {
                for (int threads : new int[] {1, 3}) {
                    try (TensorScope turn = new TensorScope();
                            Threads.Share share = Threads.share(threads)) {
                        String what = s[0] + " x " + s[1] + " of " + s[2] + " terms in " + type;
                        check.run(products, type, s[0], s[1], s[2], what);
                    }
                }
            }
        }
    }

    @FunctionalInterface
    private interface ShapeCheck {
        void run(GemmKernels products, ScalarType type, long rows, long columns, long terms, String what);
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void rowsTimesRows(CpuLevel level) {
        everywhere(level, (products, type, rows, columns, terms, what) -> {
            Tensor a = matrix(type, rows, terms);
            Tensor b = matrix(type, columns, terms);
            Tensor bias = Tensors.uniform(CPU, random, 1, columns).to(type);
            Tensor c = matrix(type, rows, columns);
            Tensor product = exact(a).mm(exact(b).t()).mul(new Scalar(0.5));
            Tensor magnitudes = exact(a).abs().mm(exact(b).abs().t());
            products.gemmNT(a, b, bias, c, 0.5f, false);
            assertNear(product.add(exact(bias)), magnitudes.add(exact(bias).abs()), c, what);
            Tensor before = exact(c);
            products.gemmNT(a, b, null, c, 0.5f, true);
            assertNear(product.add(before), magnitudes.add(before.abs()), c, what + ", added");
        });
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void rowsTimesColumns(CpuLevel level) {
        everywhere(level, (products, type, rows, columns, terms, what) -> {
            Tensor a = matrix(type, rows, terms);
            Tensor b = matrix(type, terms, columns);
            Tensor c = matrix(type, rows, columns);
            Tensor product = exact(a).mm(exact(b)).mul(new Scalar(2));
            Tensor magnitudes = exact(a).abs().mm(exact(b).abs()).mul(new Scalar(2));
            products.gemmNN(a, b, c, 2, false);
            assertNear(product, magnitudes, c, what);
            Tensor before = exact(c);
            products.gemmNN(a, b, c, 2, true);
            assertNear(product.add(before), magnitudes.add(before.abs()), c, what + ", added");
        });
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void columnsTimesColumns(CpuLevel level) {
        everywhere(level, (products, type, rows, columns, terms, what) -> {
            Tensor a = matrix(type, terms, rows);
            Tensor b = matrix(type, terms, columns);
            Tensor sum = matrix(ScalarType.Float, rows, columns);
            Tensor before = exact(sum);
            products.gemmTN(a, b, sum);
            Tensor product = exact(a).t().mm(exact(b));
            Tensor magnitudes = exact(a).abs().t().mm(exact(b).abs());
            assertNear(product.add(before), magnitudes.add(before.abs()), sum, what);
        });
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void numbersDoNotDependOnTheThreads(CpuLevel level) {
        GemmKernels products = Needs.cpuKernels(level).products();
        for (ScalarType type : List.of(ScalarType.Float, ScalarType.BFloat16)) {
            Tensor a = matrix(type, 301, 770);
            Tensor b = matrix(type, 409, 770);
            float[] alone = null;
            for (int threads : new int[] {1, 2, 3, 8}) {
                try (TensorScope turn = new TensorScope();
                        Threads.Share share = Threads.share(threads)) {
                    Tensor c = Tensors.empty(CPU, type, 301, 409);
                    products.gemmNT(a, b, null, c, 1, false);
                    float[] found = Tensors.toFloats(c);
                    alone = alone == null ? found : alone;
                    assertArrayEquals(alone, found, threads + " threads");
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void nothingIsWrittenBesideTheResult(CpuLevel level) {
        GemmKernels products = Needs.cpuKernels(level).products();
        for (ScalarType type : List.of(ScalarType.Float, ScalarType.BFloat16)) {
            Tensor all = Tensors.zeros(CPU, type, 21, 45);
            Tensor c = all.narrow(0, 1, 19).narrow(1, 4, 37);
            products.gemmNT(matrix(type, 19, 70), matrix(type, 37, 70), null, c, 1, false);
            products.gemmNN(matrix(type, 19, 71), matrix(type, 71, 37), c, 1, true);
            c.zero_();
            assertEquals(0, all.count_nonzero().item_long());
        }
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void productsOfNothingAndOfWhatDoesNotFit(CpuLevel level) {
        GemmKernels products = Needs.cpuKernels(level).products();
        Tensor c = matrix(ScalarType.Float, 6, 9);
        products.gemmNT(matrix(ScalarType.Float, 6, 0), matrix(ScalarType.Float, 9, 0), null, c, 1, false);
        assertEquals(0, c.count_nonzero().item_long(), "a sum of no terms is zero");
        Tensor a = matrix(ScalarType.Float, 6, 4);
        Tensor b = matrix(ScalarType.Float, 9, 5);
        Tensor half = matrix(ScalarType.BFloat16, 9, 4);
        assertThrows(IllegalArgumentException.class, () -> products.gemmNT(a, b, null, c, 1, false));
        assertThrows(IllegalArgumentException.class, () -> products.gemmNT(a, half, null, c, 1, false));
        assertThrows(IllegalArgumentException.class, () -> products.gemmNN(a, b, c, 1, false));
        assertThrows(IllegalArgumentException.class, () -> products.gemmTN(a, b, c));
    }
}
