package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.LowRankMatmul;
import dev.finetune4j.core.kernel.LowRankMatmul.Factors;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The products of low-rank factors on every device against the formulas in float32. */
class LowRankMatmulTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();

    /**
     * Some linears.
     *
     * @param rows n
     * @param in width of the input
     * @param outs of the linears
     * @param ranks of the linears
     * @param dropout p
     * @param adjacent whether factors and their gradients lie behind one another
     */
    @SuppressWarnings("ArrayRecordComponent")
    record Case(int rows, int in, int[] outs, int[] ranks, double dropout, boolean adjacent) {
        @Override
        public String toString() {
            return rows + "x" + in + " to " + Arrays.toString(outs) + " by " + Arrays.toString(ranks) + ", dropout "
                    + dropout + (adjacent ? ", adjacent" : "");
        }

        int outputs() {
            // Columns in between and behind belong to others.
            return Arrays.stream(outs).sum() + 32;
        }

        int allRanks() {
            return Arrays.stream(ranks).sum();
        }
    }

    static Stream<Case> cases() {
        return Stream.of(
                new Case(1, 32, new int[] {32}, new int[] {8}, 0, false),
                new Case(70, 96, new int[] {64}, new int[] {16}, 0, true),
                new Case(70, 96, new int[] {64}, new int[] {16}, 0.3, true),
                new Case(133, 352, new int[] {256, 64, 64}, new int[] {16, 16, 16}, 0, true),
                new Case(133, 352, new int[] {256, 64, 64}, new int[] {16, 16, 16}, 0.3, true),
                new Case(133, 352, new int[] {256, 64, 64}, new int[] {16, 16, 16}, 0.3, false),
                new Case(300, 64, new int[] {544, 544}, new int[] {8, 8}, 0.05, true),
                new Case(65, 608, new int[] {96}, new int[] {64}, 0.5, true),
                new Case(40, 64, new int[] {96, 96, 32}, new int[] {32, 32, 32}, 0.2, true),
                new Case(40, 64, new int[] {96, 96}, new int[] {64, 64}, 0.2, true),
                new Case(33, 64, new int[] {96, 32}, new int[] {16, 8}, 0, true),
                new Case(33, 64, new int[] {96, 32}, new int[] {16, 8}, 0.3, true),
                new Case(33, 64, new int[] {40, 33}, new int[] {4, 3}, 0, false),
                new Case(33, 64, new int[] {40, 33}, new int[] {8, 8}, 0.2, true),
                new Case(70, 64, new int[] {96, 32, 32, 32}, new int[] {8, 8, 8, 8}, 0, true),
                new Case(70, 64, new int[] {96, 32, 32, 32}, new int[] {8, 8, 8, 8}, 0.3, true),
                new Case(33, 37, new int[] {40, 33}, new int[] {4, 3}, 0.3, false),
                new Case(2100, 128, new int[] {1056}, new int[] {24}, 0.1, true));
    }

    /** The operands of a case on the CPU in float32, rounded to the type that is tested. */
    private static final class Operands {
        final Case shape;
        final ComputeDevice device;
        final ScalarType type;
        final SplittableRandom random = new SplittableRandom(11);
        final Tensor x;
        final Tensor dy;
        final Tensor low;
        final Tensor dlow;
        final List<Tensor> a;
        final List<Tensor> b;
        final List<Factors> members = new ArrayList<>();

        Operands(Case shape, ComputeDevice device, ScalarType type, boolean scaledAlike) {
            this.shape = shape;
            this.device = device;
            this.type = type;
            x = random(shape.rows(), shape.in());
            dy = random(shape.rows(), shape.outputs());
            low = random(shape.rows(), shape.allRanks());
            dlow = random(shape.rows(), shape.allRanks());
            a = factors(true);
            b = factors(false);
            List<Tensor> onDeviceA = onDevice(a, type);
            List<Tensor> gradA = onDevice(a.stream().map(torch::zeros_like).toList(), ScalarType.Float);
            int column = 0;
            for (int i = 0; i < a.size(); i++) {
                members.add(new Factors(
                        onDeviceA.get(i),
                        on(b.get(i)),
                        gradA.get(i),
                        Tensors.zeros(device, ScalarType.Float, b.get(i).shape()),
                        column,
                        scaledAlike ? 0.5 : 0.5 + i,
                        shape.dropout() == 0 ? null : mask(i)));
                column += shape.outs()[i];
            }
        }

        Dropout.Mask mask(int i) {
            return Dropout.Mask.of(new Dropout.Draw(77, 3), shape.dropout(), 5 + 2 * i);
        }

        private Tensor random(long... size) {
            return Tensors.as(Tensors.as(Tensors.normal(CPU, random, 1, size), type), ScalarType.Float);
        }

        private List<Tensor> factors(boolean ofA) {
            List<Tensor> factors = new ArrayList<>();
            for (int i = 0; i < shape.ranks().length; i++) {
                factors.add(ofA ? random(shape.ranks()[i], shape.in()) : random(shape.outs()[i], shape.ranks()[i]));
            }
            return factors;
        }

        private List<Tensor> onDevice(List<Tensor> matrices, ScalarType as) {
            if (!shape.adjacent()) {
                return matrices.stream()
                        .map(t -> Tensors.convert(t, device, as).clone())
                        .toList();
            }
            Tensor all = Tensors.convert(
                            torch.cat(new org.bytedeco.pytorch.TensorVector(matrices.toArray(Tensor[]::new)), 0),
                            device,
                            as)
                    .clone();
            List<Tensor> views = new ArrayList<>();
            long row = 0;
            for (Tensor matrix : matrices) {
                views.add(all.narrow(0, row, matrix.size(0)));
                row += matrix.size(0);
            }
            return views;
        }

        Tensor on(Tensor t) {
            return Tensors.convert(t, device, type).clone();
        }

        /** x behind the dropout of a member. */
        Tensor masked(Tensor t, int i) {
            return shape.dropout() == 0 ? t : t.mul(Tensors.ofFloats(CPU, mask(i).factors((int) t.numel()), t.shape()));
        }

        Tensor ranksOf(Tensor all, int i) {
            return all.narrow(1, Arrays.stream(shape.ranks()).limit(i).sum(), shape.ranks()[i]);
        }

        Tensor outputsOf(Tensor all, int i) {
            return all.narrow(1, members.get(i).column(), shape.outs()[i]);
        }

        Scalar scale(int i) {
            return new Scalar(members.get(i).scale());
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void productsOnTheCpuAreThoseOfTheFormulas(Case shape) {
        check(shape, CPU, ScalarType.Float, 1e-5);
        check(shape, CPU, ScalarType.BFloat16, 1e-2);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void productsOnAGpuAreThoseOfTheFormulas(Case shape) {
        Needs.gpu();
        check(shape, TestGpu.device(), ScalarType.Float, 1e-4);
        check(shape, TestGpu.device(), ScalarType.BFloat16, 1e-2);
    }

    private static void check(Case shape, ComputeDevice device, ScalarType type, double tolerance) {
        for (boolean scaledAlike : new boolean[] {true, false}) {
            try (TensorScope scope = new TensorScope()) {
                Operands o = new Operands(shape, device, type, scaledAlike);
                LowRankMatmul matmul = DeviceKernels.of(device).lowRank();
                checkForward(matmul, o, tolerance);
                checkBackward(matmul, o, tolerance);
                checkGradA(matmul, o, tolerance);
            }
        }
    }

    private static void checkForward(LowRankMatmul matmul, Operands o, double tolerance) {
        Tensor low = o.on(torch.zeros_like(o.low));
        matmul.down(o.on(o.x), o.members, low);
        Tensor y = o.on(torch.ones_like(o.dy));
        matmul.up(o.on(o.low), o.members, y);
        Tensor expectedLow = torch.zeros_like(o.low);
        Tensor expectedY = torch.ones_like(o.dy);
        for (int i = 0; i < o.members.size(); i++) {
            o.ranksOf(expectedLow, i)
                    .copy_(torch.mm(o.masked(o.x, i), o.a.get(i).t()).mul(o.scale(i)));
            o.outputsOf(expectedY, i)
                    .copy_(torch.mm(o.ranksOf(o.low, i), o.b.get(i).t()));
        }
        assertClose("low", expectedLow, low, tolerance);
        assertClose("y", expectedY, y, tolerance);
    }

    private static void checkBackward(LowRankMatmul matmul, Operands o, double tolerance) {
        Tensor dlow = o.on(torch.zeros_like(o.low));
        // Gradients add up.
        matmul.backwardUp(o.on(o.dy), o.on(o.low), o.members, dlow);
        matmul.backwardUp(o.on(o.dy), o.on(o.low), o.members, dlow);
        Tensor dx = matmul.inputGradient(o.on(o.dlow), o.members);
        Tensor expectedLow = torch.zeros_like(o.low);
        Tensor expectedX = torch.zeros_like(o.x);
        for (int i = 0; i < o.members.size(); i++) {
            Tensor own = o.outputsOf(o.dy, i);
            o.ranksOf(expectedLow, i).copy_(torch.mm(own, o.b.get(i)).mul(o.scale(i)));
            expectedX.add_(o.masked(torch.mm(o.ranksOf(o.dlow, i), o.a.get(i)), i));
            Tensor gradient = torch.mm(own.t(), o.ranksOf(o.low, i)).mul(new Scalar(2));
            assertClose("dB", gradient, o.members.get(i).gradB(), tolerance);
        }
        assertClose("dlow", expectedLow, dlow, tolerance);
        assertClose("dx", expectedX, dx, tolerance);
    }

    private static void checkGradA(LowRankMatmul matmul, Operands o, double tolerance) {
        matmul.addGradA(o.on(o.dlow), o.on(o.x), o.members);
        List<Tensor> first =
                o.members.stream().map(member -> member.gradA().clone()).toList();
        for (int i = 0; i < o.members.size(); i++) {
            Tensor expected = torch.mm(o.ranksOf(o.dlow, i).t(), o.masked(o.x, i));
            assertClose("dA", expected, o.members.get(i).gradA(), tolerance);
            o.members.get(i).gradA().zero_();
        }
        matmul.addGradA(o.on(o.dlow), o.on(o.x), o.members);
        for (int i = 0; i < o.members.size(); i++) {
            assertTrue(first.get(i).equal(o.members.get(i).gradA()), "the same sums in the same order");
        }
    }

    private static void assertClose(String what, Tensor expected, Tensor actual, double tolerance) {
        float[] wanted = Tensors.toFloats(expected);
        float[] given = Tensors.toFloats(actual);
        double largest = 0;
        double difference = 0;
        for (int i = 0; i < wanted.length; i++) {
            largest = Math.max(largest, Math.abs(wanted[i]));
            difference = Math.max(difference, Math.abs((double) wanted[i] - given[i]));
        }
        assertEquals(0, difference, tolerance * largest, what);
    }
}
