package dev.finetune4j.quant.kernel;

import static dev.finetune4j.testsupport.TensorData.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.Dtype;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.ExpertAddition;
import dev.finetune4j.core.kernel.ExpertGemv;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Products with the chosen experts on a GPU, of all forms of weights and additions, against sums in double. */
class ExpertGemvTest {
    private static final int EXPERTS = 6;
    private static final int ACTIVE = 3;
    private static final int ROWS = 5;

    /** Forms of weights. */
    private enum Form {
        DENSE,
        NF4,
        NF4_ONCE,
        FP4_SMALL_BLOCKS;

        LinearFactory factory() {
            QuantSettings.Builder settings = QuantSettings.builder();
            return switch (this) {
                case DENSE -> LinearFactory.dense();
                case NF4 -> new QuantizedLinearFactory(settings.build());
                case NF4_ONCE ->
                    new QuantizedLinearFactory(
                            settings.doubleQuantization(false).build());
                case FP4_SMALL_BLOCKS ->
                    new QuantizedLinearFactory(
                            settings.type(QuantType.FP4).blockSize(32).build());
            };
        }
    }

    /** Whether an expert's linears have an A in common, as in PEFT's stacked parameters, or each its own. */
    private enum Factors {
        NONE,
        SHARED,
        SEPARATE
    }

    private record Weights(int linears, int out, int in) implements WeightSource {
        List<LinearSpec> specs() {
            return IntStream.range(0, EXPERTS * linears)
                    .mapToObj(i -> new LinearSpec("w" + i, in, out, false, false))
                    .toList();
        }

        @Override
        public Set<String> names() {
            return Set.copyOf(specs().stream().map(LinearSpec::weightName).toList());
        }

        @Override
        public TensorInfo info(String name) {
            return new TensorInfo(name, Dtype.BF16, new long[] {out, in}, 0, 2L * out * in);
        }

        @Override
        public Tensor read(String name) {
            return Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(name.hashCode()), 0.1, out, in)
                    .to(ScalarType.BFloat16);
        }

        @Override
        public void close() {
            // Nothing is open.
        }
    }

    /** The weights on the GPU, what is added to them, and the numbers of both. */
    private static final class Case implements AutoCloseable {
        private final Weights shape;
        private final int rank;
        private final Factors factors;
        private final List<Linear> linears;
        private final ExpertGemv gemv;
        private final float[][] dense;
        private final float[] a;
        private final float[] b;

        Case(Form form, Precision precision, Weights shape, Factors factors, int rank, SplittableRandom random) {
            this.shape = shape;
            this.rank = rank;
            this.factors = factors;
            Placement placement = new Placement(TestGpu.device(), precision);
            this.linears = form.factory().createStacked(shape.specs(), shape, placement);
            this.dense = linears.stream()
                    .map(linear -> Tensors.toFloats(linear.denseWeight()))
                    .toArray(float[][]::new);
            ExpertGemv plain = Objects.requireNonNull(
                    linears.get(0).stackedWith(linears, EXPERTS).orElseThrow().gemv(Tensors.typeOf(precision)));
            assertEquals(0, plain.rank());
            Tensor first = normal(random, (long) EXPERTS * numbers(), shape.in());
            Tensor second = normal(random, (long) EXPERTS * shape.linears() * shape.out(), Math.max(1, rank));
            this.a = Tensors.toFloats(first);
            this.b = Tensors.toFloats(second);
            this.gemv = factors == Factors.NONE
                    ? plain
                    : Objects.requireNonNull(plain.with(
                            new ExpertAddition(onGpu(first), onGpu(second), numbers(), rank, strides(), 1.5f)));
            assertEquals(numbers(), gemv.rank());
        }

        private static Tensor onGpu(Tensor tensor) {
            return tensor.to(Tensors.handleOf(TestGpu.device()), ScalarType.Float);
        }

        private static Tensor normal(SplittableRandom random, long... shape) {
            return Tensors.normal(ComputeDevice.cpu(), random, 0.2, shape);
        }

        int numbers() {
            return factors == Factors.NONE ? 0 : factors == Factors.SHARED ? rank : rank * shape.linears();
        }

        private ExpertAddition.Strides strides() {
            long out = shape.out();
            return factors == Factors.SHARED
                    ? new ExpertAddition.Strides(1, out * rank * EXPERTS, (long) rank * EXPERTS, EXPERTS)
                    : new ExpertAddition.Strides(shape.linears() * out * rank, out * rank, rank, 1);
        }

        /** A row of a linear of an expert times x. */
        double product(int expert, int linear, int row, float[] x, int from) {
            float[] weight = dense[expert * shape.linears() + linear];
            double sum = 0;
            for (int k = 0; k < shape.in(); k++) {
                sum += (double) weight[row * shape.in() + k] * x[from + k];
            }
            ExpertAddition.Strides strides = strides();
            for (int j = 0; factors != Factors.NONE && j < rank; j++) {
                int number = expert * numbers() + (factors == Factors.SHARED ? 0 : linear * rank) + j;
                double low = 0;
                for (int k = 0; k < shape.in(); k++) {
                    low += (double) a[number * shape.in() + k] * x[from + k];
                }
                long at = expert * strides.expert()
                        + linear * strides.linear()
                        + row * strides.output()
                        + j * strides.number();
                sum += 1.5 * low * b[(int) at];
            }
            return sum;
        }

        @Override
        public void close() {
            linears.forEach(Linear::close);
        }
    }

    private static Tensor input(Precision precision, SplittableRandom random, long rows, long width) {
        return Tensors.normal(ComputeDevice.cpu(), random, 1, rows, width)
                .to(Tensors.handleOf(TestGpu.device()), Tensors.typeOf(precision));
    }

    private static Tensor chosen(SplittableRandom random) {
        long[] all = random.longs((long) ROWS * ACTIVE, 0, EXPERTS).toArray();
        return Tensors.ofLongs(TestGpu.device(), all, ROWS, ACTIVE).to(ScalarType.Int);
    }

    private static double sigmoid(double x) {
        return 1 / (1 + Math.exp(-x));
    }

    @ParameterizedTest
    @CsvSource({
        "FP32, 192, 256, NONE, 0",
        "FP32, 50, 48, SHARED, 3",
        "FP32, 7, 2080, SHARED, 8",
        "FP32, 64, 1032, SEPARATE, 5",
        "FP32, 36, 264, SHARED, 40",
        "BF16, 192, 256, NONE, 0",
        "BF16, 50, 48, SHARED, 3",
        "BF16, 7, 2080, SEPARATE, 8",
        "BF16, 64, 1032, SHARED, 33"
    })
    void areTheSumsOfTheChosen(Precision precision, int out, int in, Factors factors, int rank) {
        Needs.gpu();
        double tolerance = precision == Precision.FP32 ? 1e-5 : 6e-3;
        for (Form form : Form.values()) {
            SplittableRandom random = new SplittableRandom(out);
            String what = form + ", " + out + " of " + in;
            try (TensorScope scope = new TensorScope();
                    Case weights = new Case(form, precision, new Weights(2, out, in), factors, rank, random)) {
                checkGated(what + ", gated", weights, precision, random, tolerance);
            }
            Factors ofOne = factors == Factors.SEPARATE ? Factors.SHARED : factors;
            try (TensorScope scope = new TensorScope();
                    Case weights = new Case(form, precision, new Weights(1, out, in), ofOne, rank, random)) {
                checkCombined(what + ", combined", weights, precision, random, tolerance, false);
                checkCombined(what + ", added", weights, precision, random, tolerance, true);
            }
        }
    }

    private static Tensor low(Case weights) {
        return Tensors.empty(TestGpu.device(), ScalarType.Float, (long) ROWS * ACTIVE * Math.max(1, weights.numbers()));
    }

    private static void checkGated(
            String what, Case weights, Precision precision, SplittableRandom random, double tolerance) {
        int out = weights.shape.out();
        int in = weights.shape.in();
        Tensor x = input(precision, random, ROWS, in);
        Tensor chosen = chosen(random);
        Tensor y = Tensors.empty(TestGpu.device(), Tensors.typeOf(precision), (long) ROWS * ACTIVE, out);
        weights.gemv.launchGated(x, chosen, Activation.SILU, low(weights), y);
        float[] numbers = Tensors.toFloats(x);
        long[] experts = Tensors.toLongs(chosen);
        float[] expected = new float[ROWS * ACTIVE * out];
        for (int i = 0; i < expected.length; i++) {
            int pair = i / out;
            int from = pair / ACTIVE * in;
            double gate = weights.product((int) experts[pair], 0, i % out, numbers, from);
            expected[i] =
                    (float) (gate * sigmoid(gate) * weights.product((int) experts[pair], 1, i % out, numbers, from));
        }
        assertClose(what, expected, Tensors.toFloats(y), tolerance);
    }

    private static void checkCombined(
            String what, Case weights, Precision precision, SplittableRandom random, double tolerance, boolean add) {
        int out = weights.shape.out();
        int in = weights.shape.in();
        Tensor x = input(precision, random, (long) ROWS * ACTIVE, in);
        Tensor chosen = chosen(random);
        Tensor shares = Tensors.normal(ComputeDevice.cpu(), random, 0.5, ROWS, ACTIVE)
                .to(Tensors.handleOf(TestGpu.device()), ScalarType.Float);
        Tensor y = input(precision, random, ROWS, out);
        float[] before = Tensors.toFloats(y);
        weights.gemv.launchCombined(x, new ExpertGemv.Choice(chosen, shares), 0.7, low(weights), y, add);
        float[] numbers = Tensors.toFloats(x);
        float[] ofShares = Tensors.toFloats(shares);
        long[] experts = Tensors.toLongs(chosen);
        float[] expected = new float[ROWS * out];
        for (int i = 0; i < expected.length; i++) {
            double sum = 0;
            for (int turn = 0; turn < ACTIVE; turn++) {
                int pair = i / out * ACTIVE + turn;
                sum += ofShares[pair] * weights.product((int) experts[pair], 0, i % out, numbers, pair * in);
            }
            expected[i] = (float) (0.7 * sum + (add ? before[i] : 0));
        }
        assertClose(what, expected, Tensors.toFloats(y), tolerance);
    }

    @ParameterizedTest
    @EnumSource(Form.class)
    void refuseAdditionsForWhichThereIsNoRoom(Form form) {
        Needs.gpu();
        SplittableRandom random = new SplittableRandom(1);
        try (TensorScope scope = new TensorScope();
                Case weights = new Case(form, Precision.FP32, new Weights(2, 16, 64), Factors.SHARED, 4, random)) {
            Tensor x = input(Precision.FP32, random, ROWS, 64);
            Tensor y = Tensors.empty(TestGpu.device(), ScalarType.Float, (long) ROWS * ACTIVE, 16);
            Tensor low = Tensors.empty(TestGpu.device(), ScalarType.Float, 4);
            assertThrows(
                    IllegalArgumentException.class,
                    () -> weights.gemv.launchGated(x, chosen(random), Activation.SILU, low, y));
        }
    }

    /** Experts that no row has chosen may hold anything. */
    @Test
    void readOnlyTheChosen() {
        Needs.gpu();
        try (TensorScope scope = new TensorScope()) {
            Weights shape = new Weights(1, 16, 64);
            Placement placement = new Placement(TestGpu.device(), Precision.FP32);
            List<Linear> linears = LinearFactory.dense().createStacked(shape.specs(), shape, placement);
            Objects.requireNonNull(linears.get(0).parameters().get("weight")).fill_(Tensors.scalar(Double.NaN));
            ExpertGemv gemv = Objects.requireNonNull(
                    linears.get(0).stackedWith(linears, EXPERTS).orElseThrow().gemv(ScalarType.Float));
            Tensor chosen = Tensors.ofLongs(TestGpu.device(), new long[] {1, 5, 2}, 1, 3)
                    .to(ScalarType.Int);
            Tensor shares = Tensors.ones(TestGpu.device(), ScalarType.Float, 1, 3);
            Tensor y = Tensors.zeros(TestGpu.device(), ScalarType.Float, 1, 16);
            Tensor x = input(Precision.FP32, new SplittableRandom(1), 3, 64);
            gemv.launchCombined(x, new ExpertGemv.Choice(chosen, shares), 1, y, y, false);
            for (float number : Tensors.toFloats(y)) {
                assertTrue(Float.isFinite(number), "weights were read that nobody has chosen");
            }
            linears.forEach(Linear::close);
        }
    }
}
