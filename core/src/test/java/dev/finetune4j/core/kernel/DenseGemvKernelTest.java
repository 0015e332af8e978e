package dev.finetune4j.core.kernel;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** GEMV of dense weights on a GPU, with biases and low-rank additions, against libtorch's in float64. */
class DenseGemvKernelTest {
    private static final ComputeDevice GPU = TestGpu.device();
    private static final float SCALE = 0.5f;

    @BeforeEach
    void needsGpu() {
        Needs.gpu();
    }

    /** A weight with what comes to its product, and the sum of both as a dense weight. */
    private record Case(
            GemvWeight<Tensor> weight, Tensor sum, @Nullable Tensor bias) {
        static Case of(int seed, ScalarType type, int out, int in, boolean biased, int rank) {
            Tensor dense = normal(seed, 0.05, type, out, in);
            Tensor bias = biased ? normal(seed + 1, 1, type, out) : null;
            GemvWeight<Tensor> weight = Objects.requireNonNull(DenseGemvKernel.weight(dense, bias, type));
            if (rank == 0) {
                return new Case(weight, wide(dense), bias);
            }
            Tensor a = normal(seed + 2, 0.1, ScalarType.Float, rank, in);
            Tensor b = normal(seed + 3, 0.1, ScalarType.Float, out, rank);
            return new Case(
                    weight.with(new GemvWeight.LowRank(a, b, SCALE)),
                    wide(dense).add(wide(b).matmul(wide(a)).mul(Tensors.scalar(SCALE))),
                    bias);
        }

        Tensor expected(Tensor x) {
            Tensor y = wide(x).matmul(sum.t());
            return bias == null ? y : y.add(wide(bias));
        }
    }

    private static Tensor normal(int seed, double deviation, ScalarType type, long... shape) {
        return Tensors.convert(
                Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(seed), deviation, shape), GPU, type);
    }

    private static Tensor wide(Tensor x) {
        return x.to(ScalarType.Double);
    }

    private static void assertClose(String what, Tensor expected, Tensor actual) {
        double tolerance = Tensors.typeOf(actual) == ScalarType.Float ? 1e-5 : 1e-2;
        double error = wide(actual).sub(expected).abs().max().item_double()
                / expected.abs().max().item_double();
        assertTrue(error <= tolerance, what + ": relative error " + error);
    }

    @ParameterizedTest
    @CsvSource({
        "BFloat16, 8, 1, 1, 0",
        "BFloat16, 24, 17, 5, 3",
        "BFloat16, 896, 129, 33, 16",
        "BFloat16, 1032, 40, 1000, 8",
        "BFloat16, 4096, 4096, 512, 20",
        "BFloat16, 11008, 15, 16, 64",
        "Float, 8, 1, 1, 0",
        "Float, 264, 33, 17, 3",
        "Float, 4864, 100, 40, 16"
    })
    void hasTheProductsOfLibtorch(ScalarType type, int in, int out, int others, int rank) {
        for (int rows = 1; rows <= GemvKernel.MAX_ROWS; rows++) {
            try (TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                Case q = Case.of(1, type, out, in, true, rank);
                Case k = Case.of(11, type, others, in, false, 0);
                Case v = Case.of(21, type, others, in, true, rank);
                Tensor x = normal(rows, 1, type, rows, in);
                Tensor low = low(x, rows, List.of(q, k, v));
                long all = out + 2L * others;
                Tensor y = Tensors.ones(GPU, type, rows, all);
                q.weight().kernel().launch(x, rows, List.of(q.weight(), k.weight(), v.weight()), low, y, true);
                String what = rows + " rows";
                assertClose(what, q.expected(x).add(Tensors.scalar(1)), y.narrow(1, 0, out));
                assertClose(what, k.expected(x).add(Tensors.scalar(1)), y.narrow(1, out, others));
                assertClose(what, v.expected(x).add(Tensors.scalar(1)), y.narrow(1, all - others, others));

                Tensor before = y.flatten().clone();
                q.weight().kernel().launch(x, rows, List.of(k.weight()), null, y, false);
                long written = (long) rows * others;
                assertClose(
                        what, k.expected(x), y.flatten().narrow(0, 0, written).view(rows, others));
                long behind = rows * all - written;
                assertTrue(
                        y.flatten().narrow(0, written, behind).equal(before.narrow(0, written, behind)),
                        what + ": numbers behind the products have changed");

                assertGated(what, x, rows, v, k);
                assertGated(what, x, rows, k, v);
                assertGated(what, x, rows, Case.of(31, type, others, in, true, rank + 5), v);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "BFloat16, 4096, 1, 16, false", "BFloat16, 2560, 3, 8, true", "BFloat16, 12288, 8, 16, false",
        "BFloat16, 264, 2, 3, true", "Float, 2304, 5, 16, true", "Float, 8, 1, 1, false"
    })
    void normsAndTheirLowRankProductsAreOneLaunch(ScalarType type, int in, int rows, int rank, boolean unitOffset) {
        for (ScalarType weights : List.of(type, ScalarType.Float)) {
            try (TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                Case q = Case.of(1, type, 24, in, true, rank);
                Case k = Case.of(11, type, 8, in, false, 0);
                Case v = Case.of(21, type, 8, in, true, rank + 5);
                Tensor x = normal(rows, 1, type, rows, in);
                Tensor factor = normal(31, 1, weights, in);
                Tensor expected = new RmsNorm(factor, 1e-6, unitOffset).forward(x);
                // One row more, which nothing may write.
                Tensor y = Tensors.ones(GPU, type, rows + 1L, in);
                Tensor low = Tensors.zeros(GPU, ScalarType.Float, rows * (2L * rank + 5) + 1);
                NormSpec norm = new NormSpec(factor, 1e-6, unitOffset);
                List<GemvWeight<Tensor>> all = List.of(q.weight(), k.weight(), v.weight());
                assertTrue(q.weight().kernel().launchLowRankOfNorm(x, rows, norm, y, all, low));
                assertClose("norm", wide(expected), y.narrow(0, 0, rows));
                assertClose("behind", wide(Tensors.ones(GPU, type, 1, in)), y.narrow(0, rows, 1));
                Tensor products = low(expected, rows, List.of(q, k, v));
                double error = wide(low).sub(wide(products)).abs().max().item_double()
                        / wide(products).abs().max().item_double();
                assertTrue(error <= (type == ScalarType.Float ? 1e-5 : 1e-2), "relative error " + error);
            }
        }
    }

    private static void assertGated(String what, Tensor x, int rows, Case gate, Case up) {
        long others = gate.sum().size(0);
        // One row more, which nothing may write.
        Tensor y = Tensors.ones(GPU, Tensors.typeOf(x), rows + 1L, others);
        for (Activation activation : Activation.values()) {
            Tensor low = low(x, rows, List.of(gate, up));
            gate.weight().kernel().launchGated(x, rows, activation, gate.weight(), up.weight(), low, y);
            assertClose(
                    what + activation, activation.apply(gate.expected(x)).mul(up.expected(x)), y.narrow(0, 0, rows));
        }
        assertClose(what, wide(Tensors.ones(GPU, Tensors.typeOf(x), 1, others)), y.narrow(0, rows, 1));
    }

    /** The narrow products one behind another, as {@link FusedGemv} leaves them. */
    private static Tensor low(Tensor x, int rows, List<Case> cases) {
        List<Tensor> parts = new ArrayList<>();
        for (Case one : cases) {
            GemvWeight.LowRank addition = one.weight().addition();
            if (addition != null) {
                Tensor narrow = x.to(ScalarType.Float).matmul(addition.a().t()).mul(Tensors.scalar(addition.scale()));
                parts.add(narrow.reshape((long) rows * addition.rank()));
            }
        }
        parts.add(Tensors.zeros(GPU, ScalarType.Float, 1));
        return torch.cat(new TensorVector(parts.toArray(Tensor[]::new)));
    }
}
