package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.SequenceAttention;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.LongStream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/**
 * Attention of whole sequences with its norms and angles as layers call it, forward and backward, against libtorch's operations in
 * float32 over all scores: odd lengths, heads of many sizes, windows, soft-caps, packed rows.
 */
class FusedAttentionTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();

    /** Of the norm of a result, squared. */
    private static final double FLOAT_TOLERANCE = 1e-10;

    private static final double BF16_TOLERANCE = 1e-4;

    /**
     * An attention over some sequences.
     *
     * @param turned rotary channels
     * @param norms 0 none, 1 those of Qwen, 2 those of Gemma, which count from one
     * @param packed whether they lie in one row; else they are of one length
     */
    private record Case(
            int heads,
            int kvHeads,
            int size,
            int turned,
            double cap,
            int window,
            int norms,
            boolean packed,
            long... lengths) {
        Attention.Shape shape() {
            return new Attention.Shape(heads, kvHeads, size, 2 / Math.sqrt(size), cap);
        }

        long width() {
            return (heads + 2L * kvHeads) * size;
        }

        long rows() {
            return LongStream.of(lengths).sum();
        }

        @Override
        public String toString() {
            return heads + " and " + kvHeads + " heads of " + size + ", " + turned + " turned, cap " + cap + ", window "
                    + window + ", norms " + norms + (packed ? ", packed " : ", rows of ") + Arrays.toString(lengths);
        }
    }

    private static final List<Case> CASES = List.of(
            new Case(4, 2, 64, 64, 0, 0, 0, false, 37, 37),
            new Case(4, 1, 128, 128, 0, 0, 1, false, 130),
            new Case(2, 2, 96, 96, 0, 50, 0, false, 131, 131),
            new Case(2, 1, 256, 256, 0, 64, 2, false, 200),
            new Case(2, 1, 256, 256, 3, 0, 0, false, 65, 65),
            new Case(4, 2, 128, 64, 2, 33, 0, false, 150, 150, 150),
            new Case(2, 2, 80, 32, 5, 0, 1, false, 77),
            new Case(2, 1, 16, 16, 1, 1, 0, false, 70),
            new Case(4, 2, 64, 64, 0, 0, 1, true, 5, 0, 130, 1, 64),
            new Case(2, 1, 256, 256, 0, 20, 2, true, 3, 101, 64, 0, 0),
            new Case(4, 2, 256, 256, 4, 0, 0, true, 129, 1, 66),
            new Case(3, 1, 128, 128, 2, 70, 2, true, 0, 200, 64, 7),
            new Case(2, 2, 48, 48, 0, 0, 0, true, 1));

    @Test
    void onACpu() {
        CASES.forEach(c -> check(c, false, CPU, ScalarType.Float, FLOAT_TOLERANCE));
        CASES.forEach(c -> check(c, false, CPU, ScalarType.BFloat16, BF16_TOLERANCE));
        CASES.forEach(c -> check(c, true, CPU, ScalarType.Float, FLOAT_TOLERANCE));
    }

    @Test
    void onAGpu() {
        Needs.gpu();
        for (boolean interleaved : new boolean[] {false, true}) {
            CASES.forEach(c -> check(c, interleaved, TestGpu.device(), ScalarType.BFloat16, BF16_TOLERANCE));
        }
    }

    /** A second pass over the same tokens has what the first one kept, and its gradients without it. */
    @Test
    void whatIsKeptIsNotComputedAgain() {
        for (Case c : CASES) {
            if (c.norms() > 0) {
                continue;
            }
            Counted counted = new Counted(DeviceKernels.of(CPU)
                    .attention(c.shape().spec(c.window()), ScalarType.Float)
                    .orElseThrow());
            float[][] alone = mixed(c, new FusedAttention(counted, bounds(c), null), 1);
            assertEquals(1, counted.passes, c.toString());
            float[][] again = mixed(c, new FusedAttention(counted, bounds(c), new KeptMix()), 2);
            assertEquals(2, counted.passes, c.toString());
            assertArrayEquals(alone[0], again[0], c.toString());
            assertArrayEquals(alone[1], again[1], c.toString());
        }
    }

    private static SequenceAttention.@Nullable Bounds bounds(Case c) {
        if (!c.packed()) {
            return null;
        }
        PackedSequences packed = PackedSequences.of(CPU, c.lengths());
        return new SequenceAttention.Bounds(packed.starts(), packed.lengths(), packed.shared());
    }

    /** The output and the gradient of the last of some passes, of which only that one is recorded. */
    private static float[][] mixed(Case c, FusedAttention attention, int passes) {
        try (TensorScope scope = TensorScope.forStep()) {
            long batch = c.packed() ? 1 : c.lengths().length;
            long tokens = c.packed() ? c.rows() : c.lengths()[0];
            Tensor joint =
                    drawn(1, batch, tokens, c.width()).to(ScalarType.Float).set_requires_grad(true);
            for (int i = 1; i < passes; i++) {
                try (NoGradGuard off = new NoGradGuard()) {
                    attention.mix(joint.mul(new Scalar(1)));
                }
            }
            Tensor y = attention.mix(joint.mul(new Scalar(1)));
            y.mul(drawn(2, batch, tokens, (long) c.heads() * c.size())).sum().backward();
            return new float[][] {Tensors.toFloats(y.detach()), Tensors.toFloats(joint.grad())};
        }
    }

    /** Counts the passes of another. */
    private static final class Counted implements SequenceAttention {
        private final SequenceAttention attention;
        private int passes;

        Counted(SequenceAttention attention) {
            this.attention = attention;
        }

        @Override
        public boolean readsStarts() {
            return attention.readsStarts();
        }

        @Override
        public boolean readsSharedKeys() {
            return attention.readsSharedKeys();
        }

        @Override
        public Mixed forward(Tensor qkv, @Nullable Bounds packed, boolean recorded) {
            passes++;
            return attention.forward(qkv, packed, recorded);
        }

        @Override
        public Gradients backward(Tensor qkv, @Nullable Bounds packed, Mixed mixed, Tensor gradient) {
            return attention.backward(qkv, packed, mixed, gradient);
        }
    }

    private static Tensor drawn(int seed, long... shape) {
        return Tensors.normal(CPU, new SplittableRandom(seed), 1, shape).to(ScalarType.BFloat16);
    }

    private static RmsNorm norm(Case c, int seed, ComputeDevice device, ScalarType type) {
        Tensor weight = drawn(seed, c.size()).mul(new Scalar(0.3));
        Tensor used = c.norms() == 2 ? weight : weight.add(new Scalar(1));
        return new RmsNorm(Tensors.convert(used, device, type), 1e-6, c.norms() == 2);
    }

    private static void check(Case c, boolean interleaved, ComputeDevice device, ScalarType type, double tolerance) {
        float[][] expected = run(c, interleaved, CPU, ScalarType.Float, true);
        float[][] found = run(c, interleaved, device, type, false);
        String[] names = {"output", "gradients"};
        for (int i = 0; i < expected.length; i++) {
            double norm = 0;
            double difference = 0;
            for (int k = 0; k < expected[i].length; k++) {
                norm += expected[i][k] * expected[i][k];
                difference += Math.pow(expected[i][k] - found[i][k], 2);
            }
            assertTrue(difference <= tolerance * norm, c + " in " + type + ", " + names[i] + ": " + difference / norm);
        }
    }

    /** The output, and the gradient of queries, keys and values. */
    private static float[][] run(Case c, boolean interleaved, ComputeDevice device, ScalarType type, boolean plain) {
        Attention.Shape shape = c.shape();
        long batch = c.packed() ? 1 : c.lengths().length;
        long tokens = c.packed() ? c.rows() : c.lengths()[0];
        RopeSpec rope = new RopeSpec(10_000, c.turned(), interleaved, new RopeScaling.None());
        try (TensorScope scope = TensorScope.forStep();
                RotaryEmbedding rotary = new RotaryEmbedding(rope, device)) {
            PackedSequences packed = c.packed() ? PackedSequences.of(device, c.lengths()) : null;
            RotaryEmbedding.Angles angles =
                    packed == null ? rotary.angles(0, tokens, type) : rotary.angles(packed, type);
            Attention.HeadNorms norms = c.norms() == 0
                    ? null
                    : new Attention.HeadNorms(
                            new Named<>("q", norm(c, 3, device, type)), new Named<>("k", norm(c, 4, device, type)));
            Tensor joint = Tensors.convert(drawn(1, batch, tokens, c.width()), device, type)
                    .set_requires_grad(true);
            // What comes from a projection may be overwritten, but a leaf may not.
            Tensor input = joint.mul(new Scalar(1));
            Tensor mixed = plain
                    ? plain(c, input, norms, angles)
                    : LayerKernels.of(input)
                            .attend(
                                    input,
                                    shape,
                                    norms,
                                    angles,
                                    FusedAttention.of(
                                                    input,
                                                    shape,
                                                    new Attention.Context(angles, null, packed, c.window()))
                                            .orElseThrow());
            Tensor weights = Tensors.convert(drawn(2, batch, tokens, (long) c.heads() * c.size()), device, type);
            mixed.mul(weights).sum().backward();
            return new float[][] {Tensors.toFloats(mixed.detach()), Tensors.toFloats(joint.grad())};
        }
    }

    /** Sequence by sequence, by libtorch's operations. */
    private static Tensor plain(
            Case c, Tensor input, Attention.@Nullable HeadNorms norms, RotaryEmbedding.Angles angles) {
        TensorLists all = new TensorLists();
        long start = 0;
        for (int i = 0; i < c.lengths().length; i++) {
            long length = c.lengths()[i];
            Tensor own = c.packed() ? input.narrow(1, start, length) : input.narrow(0, i, 1);
            Tensor[] qkv = c.shape().heads(c.shape().split(own));
            for (int part = 0; part < 2; part++) {
                if (norms != null) {
                    RmsNorm norm = (part == 0 ? norms.query() : norms.key()).module();
                    qkv[part] = TorchLayerKernels.INSTANCE.norm(qkv[part], norm);
                }
                RotaryEmbedding.Angles near = new RotaryEmbedding.Angles(
                        angles.cos().narrow(0, c.packed() ? start : 0, length),
                        angles.sin().narrow(0, c.packed() ? start : 0, length),
                        angles.interleaved());
                qkv[part] = TorchLayerKernels.INSTANCE.rotate(qkv[part], near);
            }
            if (length > 0) {
                all.add(mix(c, qkv, length));
            }
            start += length;
        }
        return all.concatenated(c.packed() ? 1 : 0);
    }

    private static final class TensorLists {
        private final TensorVector tensors = new TensorVector();

        void add(Tensor x) {
            tensors.push_back(x);
        }

        Tensor concatenated(int dimension) {
            return torch.cat(tensors, dimension);
        }
    }

    private static Tensor mix(Case c, Tensor[] qkv, long tokens) {
        long group = c.heads() / c.kvHeads();
        Tensor k = qkv[1].unsqueeze(2)
                .expand(1, c.kvHeads(), group, tokens, c.size())
                .reshape(1, c.heads(), tokens, c.size());
        Tensor v = qkv[2].unsqueeze(2)
                .expand(1, c.kvHeads(), group, tokens, c.size())
                .reshape(1, c.heads(), tokens, c.size());
        Tensor scores =
                qkv[0].matmul(k.transpose(2, 3)).mul(new Scalar(c.shape().scale()));
        if (c.cap() > 0) {
            scores = scores.div(new Scalar(c.cap())).tanh().mul(new Scalar(c.cap()));
        }
        Tensor ones = torch.ones(tokens, tokens).to(ScalarType.Bool);
        Tensor hidden = c.window() == 0 ? ones.triu(1) : ones.triu(1).logical_or(ones.tril(-c.window()));
        scores = scores.masked_fill(hidden, new Scalar(Double.NEGATIVE_INFINITY));
        return torch.softmax(scores, -1).matmul(v).transpose(1, 2).reshape(1, tokens, (long) c.heads() * c.size());
    }
}
