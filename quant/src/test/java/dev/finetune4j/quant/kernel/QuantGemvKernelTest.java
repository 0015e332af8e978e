package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.FusedGemv;
import dev.finetune4j.core.kernel.GemvWeight;
import dev.finetune4j.core.kernel.NormSpec;
import dev.finetune4j.core.kernel.cuda.CudaGraph;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** GEMV of 4-bit weights against the dense weight and libtorch's product in float64. */
class QuantGemvKernelTest {
    private static @Nullable FusedGemv fused(List<? extends Linear> linears, ScalarType type) {
        return FusedGemv.of(linears.stream()
                .<GemvWeight<?>>map(linear -> linear.gemvWeight(type))
                .collect(Collectors.toCollection(ArrayList::new)));
    }

    private static final ComputeDevice GPU = TestGpu.device();

    private static void needGpu() {
        Needs.gpu();
    }

    private static Tensor normal(int seed, double deviation, ScalarType type, long... shape) {
        return Tensors.convert(
                Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(seed), deviation, shape), GPU, type);
    }

    private static QuantizedLinear linear(
            int seed, QuantSettings settings, int out, int in, boolean bias, ScalarType type) {
        try (TensorScope scope = new TensorScope()) {
            Tensor dense = normal(seed, 0.05, ScalarType.BFloat16, out, in);
            return new QuantizedLinear(
                    QuantizedTensor.quantize(dense, settings),
                    bias ? scope.release(normal(seed + 1, 1, type, out)) : null);
        }
    }

    private static Tensor wide(Tensor x) {
        return x.to(ScalarType.Double);
    }

    private static Tensor expected(Linear linear, Tensor x) {
        Tensor y = torch.matmul(wide(x), wide(linear.denseWeight()).t());
        return linear.bias() == null ? y : y.add(wide(Objects.requireNonNull(linear.bias())));
    }

    private static void assertClose(Tensor expected, Tensor actual) {
        double tolerance = Tensors.typeOf(actual) == ScalarType.Float ? 1e-5 : 1e-2;
        double error = wide(actual).sub(expected).abs().max().item_double()
                / expected.abs().max().item_double();
        assertTrue(error <= tolerance, "relative error " + error);
    }

    @ParameterizedTest
    @CsvSource({
        "NF4, 64, true, 4096, 4096, BFloat16",
        "NF4, 64, true, 1001, 64, BFloat16",
        "NF4, 64, true, 37, 352, BFloat16",
        "FP4, 64, true, 100, 896, BFloat16",
        "NF4, 64, false, 17, 1088, BFloat16",
        "NF4, 32, true, 33, 160, BFloat16",
        "FP4, 128, true, 50, 11008, BFloat16",
        "NF4, 64, true, 9001, 192, BFloat16",
        "NF4, 64, true, 4400, 4224, BFloat16",
        "NF4, 256, false, 7, 256, BFloat16",
        "NF4, 64, true, 7, 256, BFloat16",
        "FP4, 64, true, 1, 512, BFloat16",
        "NF4, 64, true, 129, 2304, BFloat16",
        "NF4, 64, true, 4097, 1792, BFloat16",
        "NF4, 64, true, 11008, 4096, BFloat16",
        "NF4, 64, true, 513, 11008, BFloat16",
        "NF4, 64, true, 2048, 11008, BFloat16",
        "FP4, 64, true, 2112, 4352, BFloat16",
        "NF4, 64, true, 1, 192, BFloat16",
        "NF4, 64, true, 33, 360, BFloat16",
        "FP4, 32, false, 41, 1000, BFloat16",
        "NF4, 64, true, 19, 8, Float",
        "NF4, 64, true, 37, 352, Float",
        "FP4, 64, false, 100, 4864, Float",
        "NF4, 4096, true, 9, 32, Float"
    })
    void hasTheProductsOfTheDenseWeight(QuantType type, int block, boolean nested, int out, int in, ScalarType number) {
        needGpu();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                QuantizedLinear linear =
                        linear(out, new QuantSettings(type, block, nested), out, in, out % 2 == 1, number)) {
            FusedGemv alone = Objects.requireNonNull(fused(List.of(linear), number), "the kernel supports it");
            Tensor none = Tensors.empty(GPU, ScalarType.Float, 0);
            for (int rows = 1; rows <= alone.maxRows(); rows++) {
                Tensor x = normal(rows, 1, number, rows, in);
                Tensor y = Tensors.empty(GPU, number, rows, out);
                alone.run(x, rows, none, y, false);
                assertClose(expected(linear, x), y);
                Tensor result = linear.forward(x.unsqueeze(0));
                assertEquals(number.intern(), Tensors.typeOf(result));
                assertClose(expected(linear, x).unsqueeze(0), result);
            }
        }
    }

    @Test
    void aWidthThatIsNoMultipleOf8TakesTheDenseWay() {
        needGpu();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                QuantizedLinear linear = linear(3, QuantSettings.nf4(), 33, 130, true, ScalarType.BFloat16)) {
            assertNull(linear.gemvWeight(ScalarType.BFloat16));
            Tensor x = normal(5, 1, ScalarType.BFloat16, 2, 130);
            assertClose(expected(linear, x), linear.forward(x));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "BFloat16, 1, 256, 100, 24, 4",
        "BFloat16, 5, 352, 100, 24, 4",
        "Float, 3, 256, 100, 24, 4",
        "Float, 4, 264, 100, 24, 4",
        "BFloat16, 3, 1032, 100, 24, 4",
        "BFloat16, 8, 1024, 100, 24, 4",
        "BFloat16, 3, 2304, 100, 24, 4",
        "BFloat16, 9, 256, 100, 24, 4",
        "BFloat16, 16, 1024, 4300, 4500, 20",
        "BFloat16, 13, 12544, 50, 24, 17",
        "BFloat16, 15, 4096, 9001, 2201, 40",
        "BFloat16, 2, 512, 9001, 2201, 40",
        "BFloat16, 7, 256, 4300, 4500, 20",
        "BFloat16, 1, 12544, 50, 24, 17",
        "Float, 2, 12544, 50, 24, 17"
    })
    void groupsGatesAndLowRankAdditions(ScalarType type, int rows, int in, int out, int others, int rank) {
        needGpu();
        QuantSettings settings = QuantSettings.nf4();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                QuantizedLinear q = linear(1, settings, out, in, true, type);
                QuantizedLinear k = linear(3, settings, others, in, false, type);
                QuantizedLinear v = linear(5, settings, others, in, true, type)) {
            Tensor x = normal(7, 1, type, rows, in);
            List<Linear> adapted = List.of(new Added(q, rank, in), k, new Added(v, 16, in));
            FusedGemv products = Objects.requireNonNull(fused(adapted, type));
            Tensor low = Tensors.empty(GPU, ScalarType.Float, rows, products.rank());
            Tensor y = Tensors.ones(GPU, type, rows, products.out());
            products.run(x, rows, low, y, true);
            assertClose(expected(adapted.get(0), x).add(one()), y.narrow(1, 0, out));
            assertClose(expected(adapted.get(1), x).add(one()), y.narrow(1, out, others));
            assertClose(expected(adapted.get(2), x).add(one()), y.narrow(1, out + (long) others, others));

            assertGated(new Added(v, rank, in), k, x, rows);
            assertGated(k, new Added(v, rank, in), x, rows);
            assertGated(new Added(k, rank, in), new Added(v, rank + 5, in), x, rows);
        }
    }

    /** The norm that each block makes for itself is the one of a kernel of its own, to the rounding of bfloat16. */
    @ParameterizedTest
    @CsvSource({
        "256, 100, Float, false, false",
        "1024, 40, BFloat16, false, true",
        "2048, 11008, BFloat16, false, false",
        "2304, 9001, BFloat16, true, false",
        "4096, 4300, Float, true, true",
        "12544, 50, BFloat16, false, false"
    })
    void takesTheNormOfARow(int in, int out, ScalarType ofWeight, boolean unitOffset, boolean bias) {
        needGpu();
        ScalarType type = ScalarType.BFloat16;
        QuantSettings settings = QuantSettings.nf4();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                QuantizedLinear gate = linear(1, settings, out, in, bias, type);
                QuantizedLinear up = linear(3, settings, out, in, false, type)) {
            NormSpec norm = new NormSpec(normal(5, 1, ofWeight, in), 1e-5, unitOffset);
            Tensor x = normal(7, 3, type, 1, in);
            Tensor normed = norm.apply(x);
            FusedGemv both = Objects.requireNonNull(fused(List.of(gate, up), type));
            assertTrue(both.takesNorm(1, norm), "one row");
            Tensor y = Tensors.ones(GPU, type, 2, 2L * out);
            both.runOfNorm(x, 1, norm, y);
            assertClose(expected(gate, normed), y.narrow(0, 0, 1).narrow(1, 0, out));
            assertClose(expected(up, normed), y.narrow(0, 0, 1).narrow(1, out, out));
            assertTrue(y.narrow(0, 1, 1).eq(one()).all().item_bool(), "no other row is written");
            Tensor product = Tensors.empty(GPU, type, 1, out);
            for (Activation activation : Activation.values()) {
                both.runGatedOfNorm(x, 1, norm, activation, product);
                assertClose(activation.apply(expected(gate, normed)).mul(expected(up, normed)), product);
            }
            assertFalse(both.takesNorm(2, norm), "two rows");
            assertFalse(both.takesNorm(1, new NormSpec(norm.weight(), 1e-5, false, true)), "a layer norm");
            FusedGemv adapted = Objects.requireNonNull(fused(List.of(new Added(gate, 8, in)), type));
            assertFalse(adapted.takesNorm(1, norm), "down projections need the norm");
        }
    }

    private static void assertGated(Linear gate, Linear up, Tensor x, int rows) {
        ScalarType type = Tensors.typeOf(x);
        FusedGemv pair = Objects.requireNonNull(fused(List.of(gate, up), type));
        Tensor low = Tensors.empty(GPU, ScalarType.Float, rows, pair.rank());
        // One row more, which nothing may write.
        Tensor y = Tensors.ones(GPU, type, rows + 1L, gate.outFeatures());
        for (Activation activation : Activation.values()) {
            pair.runGated(x, rows, activation, low, y);
            assertClose(activation.apply(expected(gate, x)).mul(expected(up, x)), y.narrow(0, 0, rows));
        }
        assertClose(wide(Tensors.ones(GPU, type, 1, gate.outFeatures())), y.narrow(0, rows, 1));
    }

    /**
     * In a captured graph a product may begin while the one in front of it, which makes its input, still runs: one that reads too
     * early has other numbers than the same products one after another.
     */
    @ParameterizedTest
    @CsvSource({"1, 4096", "3, 1024", "8, 4096", "8, 7936", "5, 1088", "16, 4096", "11, 7936"})
    void capturedProductsWaitForTheirInput(int rows, int width) {
        needGpu();
        QuantSettings settings = QuantSettings.nf4();
        ScalarType type = ScalarType.BFloat16;
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                QuantizedLinear first = linear(1, settings, width, width, true, type);
                QuantizedLinear second = linear(3, settings, width, width, true, type)) {
            Linear up = new Added(second, 16, width);
            FusedGemv one = Objects.requireNonNull(fused(List.of(new Added(first, 8, width)), type));
            FusedGemv gated = Objects.requireNonNull(fused(List.of(first, up), type));
            FusedGemv plain = Objects.requireNonNull(fused(List.of(first, second), type));
            NormSpec norm = new NormSpec(normal(9, 1, type, width), 1e-5, false);
            Tensor input = normal(7, 1, type, rows, width);
            Tensor low = Tensors.empty(GPU, ScalarType.Float, rows, gated.rank());
            Tensor[] places = {input.clone(), Tensors.empty(GPU, type, rows, width)};
            Runnable chain = () -> {
                for (int i = 0; i < 3; i++) {
                    one.run(places[0], rows, low, places[1], false);
                    gated.runGated(places[1], rows, Activation.GELU_TANH, low, places[0]);
                }
                if (plain.takesNorm(rows, norm)) {
                    plain.runGatedOfNorm(places[0], rows, norm, Activation.GELU_TANH, places[1]);
                    plain.runGatedOfNorm(places[1], rows, norm, Activation.GELU_TANH, places[0]);
                }
            };
            chain.run();
            Tensor expected = places[0].clone();
            assertTrue(expected.isfinite().all().item_bool(), "the numbers stay finite");
            try (CudaGraph graph = CudaGraph.captureOverlapping(GPU, chain)) {
                for (int turn = 0; turn < 20; turn++) {
                    places[0].copy_(input);
                    graph.launch();
                    assertTrue(places[0].equal(expected), "turn " + turn);
                }
            }
        }
    }

    private static org.bytedeco.pytorch.Scalar one() {
        return Tensors.scalar(1);
    }

    /** A linear with a low-rank addition, as adapters make them. */
    private record Added(QuantizedLinear base, Tensor a, Tensor b) implements Linear {
        Added(QuantizedLinear base, int rank, int in) {
            this(
                    base,
                    normal(rank, 0.1, ScalarType.Float, rank, in),
                    normal(rank + 1, 0.1, ScalarType.Float, base.outFeatures(), rank));
        }

        @Override
        public Tensor forward(Tensor x) {
            throw new UnsupportedOperationException();
        }

        @Override
        public long inFeatures() {
            return base.inFeatures();
        }

        @Override
        public long outFeatures() {
            return base.outFeatures();
        }

        @Override
        public Tensor denseWeight() {
            return base.denseWeight().add(b.matmul(a).mul(Tensors.scalar(2)));
        }

        @Override
        public java.util.Map<String, Tensor> parameters() {
            return java.util.Map.of();
        }

        @Override
        public @org.jspecify.annotations.Nullable Tensor bias() {
            return base.bias();
        }

        @Override
        public GemvWeight<?> gemvWeight(ScalarType type) {
            return Objects.requireNonNull(base.gemvWeight(type)).with(new GemvWeight.LowRank(a, b, 2));
        }

        @Override
        public void close() {
            a.close();
            b.close();
        }
    }
}
