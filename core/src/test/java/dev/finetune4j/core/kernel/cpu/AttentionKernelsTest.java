package dev.finetune4j.core.kernel.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.Threads;
import dev.finetune4j.testsupport.Needs;
import java.util.List;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Attention of whole sequences at each level that the machine has, against libtorch's operations in float64. */
class AttentionKernelsTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();

    /** Of the largest number of a tensor. */
    private static final double FLOAT_TOLERANCE = 3e-6;

    private static final double BF16_TOLERANCE = 1.0 / 128;

    private final SplittableRandom random = new SplittableRandom(11);

    /** Sequences, tokens, heads of queries, heads of keys, channels: below, at and beyond the sizes of panels and blocks; window, cap. */
    private static final List<long[]> SHAPES = List.of(
            new long[] {1, 1, 1, 1, 1, 0, 0},
            new long[] {2, 3, 2, 1, 5, 0, 0},
            new long[] {1, 37, 6, 2, 16, 0, 2},
            new long[] {2, 128, 2, 2, 64, 0, 0},
            new long[] {1, 131, 14, 2, 64, 0, 0},
            new long[] {1, 300, 3, 1, 40, 130, 0},
            new long[] {1, 270, 1, 1, 128, 0, 0},
            new long[] {2, 261, 2, 1, 256, 0, 3},
            new long[] {1, 290, 4, 2, 129, 33, 1},
            new long[] {1, 270, 2, 2, 24, 1, 0});

    private static Tensor exact(Tensor x) {
        return x.to(ScalarType.Double);
    }

    private static void assertNear(Tensor expected, Tensor actual, String what) {
        double share = Tensors.typeOf(actual) == ScalarType.Float ? FLOAT_TOLERANCE : BF16_TOLERANCE;
        double most = expected.abs().max().item_double() * share;
        double worst = exact(actual).sub(expected).abs().max().item_double();
        assertTrue(worst <= most, () -> what + ": off by " + worst + ", at most " + most);
    }

    /** Rows (B, T, n · size) as (B, heads, T, size), each head of keys as often as heads share it. */
    private static Tensor heads(Tensor rows, long first, long n, long size, long copies) {
        return rows.narrow(2, first * size, n * size)
                .reshape(rows.size(0), rows.size(1), n, size)
                .transpose(1, 2)
                .repeat_interleave(copies, new LongOptional(1), new LongOptional());
    }

    private static Tensor scores(Tensor leaf, long[] s, double scale) {
        Tensor q = heads(leaf, 0, s[2], s[4], 1);
        Tensor k = heads(leaf, s[2], s[3], s[4], s[2] / s[3]);
        Tensor all = torch.ones(s[1], s[1]).to(ScalarType.Bool);
        Tensor hidden = s[5] == 0 ? all.triu(1) : all.triu(1).logical_or(all.tril(-s[5]));
        Tensor scores = q.matmul(k.transpose(2, 3)).mul(new Scalar(scale));
        Tensor bounded =
                s[6] == 0 ? scores : scores.div(new Scalar(s[6])).tanh().mul(new Scalar(s[6]));
        return bounded.masked_fill(hidden, new Scalar(Double.NEGATIVE_INFINITY));
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void outputsAndGradients(CpuLevel level) {
        AttentionKernels kernels = Needs.cpuKernels(level).attention();
        for (ScalarType type : List.of(ScalarType.Float, ScalarType.BFloat16)) {
            for (long[] s : SHAPES) {
                try (TensorScope scope = new TensorScope();
                        Threads.Share share = Threads.share(3)) {
                    check(kernels, type, s);
                }
            }
        }
    }

    private void check(AttentionKernels kernels, ScalarType type, long[] s) {
        String what = s[0] + " of " + s[1] + " tokens, " + s[2] + " and " + s[3] + " heads of " + s[4] + ", window "
                + s[5] + ", cap " + s[6] + " in " + type;
        float scale = 0.7f;
        AttentionKernels.Heads of =
                new AttentionKernels.Heads((int) s[2], (int) s[3], (int) s[4], scale, s[6], (int) s[5]);
        Tensor qkv = Tensors.uniform(CPU, random, 1, s[0], s[1], (s[2] + 2 * s[3]) * s[4])
                .to(type);
        Tensor gradient =
                Tensors.uniform(CPU, random, 1, s[0], s[1], s[2] * s[4]).to(type);
        Tensor y = Tensors.emptyLike(gradient);
        Tensor logs = Tensors.empty(CPU, ScalarType.Float, s[0], s[2], s[1]);
        kernels.forward(of, qkv, y, logs);
        Tensor leaf = exact(qkv).clone().set_requires_grad(true);
        Tensor scores = scores(leaf, s, scale);
        Tensor v = heads(leaf, s[2] + s[3], s[3], s[4], s[2] / s[3]);
        Tensor expected = torch.softmax(scores, -1).matmul(v).transpose(1, 2).reshape(gradient.shape());
        assertNear(expected.detach(), y, what);
        assertNear(torch.logsumexp(scores.detach(), 3), logs, what + ", logarithms");
        expected.mul(exact(gradient)).sum().backward();
        Tensor gradients = qkv.clone();
        kernels.backward(of, qkv, y, gradient, logs, gradients);
        assertNear(leaf.grad(), gradients, what + ", gradients");
        kernels.backward(of, qkv, y, gradient, logs, qkv);
        assertArrayEquals(Tensors.toFloats(gradients), Tensors.toFloats(qkv), "in their place");
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void numbersDoNotDependOnTheThreadsAndWhatIsNoNumberStaysNone(CpuLevel level) {
        AttentionKernels kernels = Needs.cpuKernels(level).attention();
        AttentionKernels.Heads of = new AttentionKernels.Heads(4, 2, 24, 0.2f, 0, 0);
        try (TensorScope scope = new TensorScope()) {
            Tensor qkv = Tensors.uniform(CPU, random, 1, 2, 150, 8 * 24);
            float[] alone = null;
            for (int threads : new int[] {1, 2, 7}) {
                try (Threads.Share share = Threads.share(threads)) {
                    Tensor y = Tensors.empty(CPU, ScalarType.Float, 2, 150, 4 * 24);
                    Tensor logs = Tensors.empty(CPU, ScalarType.Float, 2, 4, 150);
                    kernels.forward(of, qkv, y, logs);
                    float[] found = Tensors.toFloats(y);
                    alone = alone == null ? found : alone;
                    assertArrayEquals(alone, found);
                }
            }
            qkv.select(1, 60).fill_(new Scalar(Double.NaN));
            Tensor y = Tensors.empty(CPU, ScalarType.Float, 2, 150, 4 * 24);
            kernels.forward(of, qkv, y, Tensors.empty(CPU, ScalarType.Float, 2, 4, 150));
            assertTrue(y.narrow(1, 60, 90).isnan().all().item_bool(), "tokens from it on");
            assertThrows(IllegalArgumentException.class, () -> kernels.forward(of, y, y, y));
        }
    }
}
