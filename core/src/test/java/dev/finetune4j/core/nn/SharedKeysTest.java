package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.SharedKeys;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.LongStream;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Sequences that begin with tokens of others come to what they come to with tokens of their own, forward and backward. */
class SharedKeysTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();

    /**
     * Prompts with two answers each, and what fills up the row.
     *
     * @param norms whether heads have norms
     * @param pairs tokens of prompt, first and second answer
     * @param filling tokens of a last sequence; behind it is an empty one
     */
    private record Case(int heads, int kvHeads, int size, int window, boolean norms, long[][] pairs, long filling) {
        long width() {
            return (heads + 2L * kvHeads) * size;
        }

        /** Lengths of what lies in the row, with each prompt once or twice. */
        long[] lengths(boolean shared) {
            List<Long> lengths = new ArrayList<>();
            for (long[] pair : pairs) {
                lengths.add(pair[0] + pair[1]);
                lengths.add((shared ? 0 : pair[0]) + pair[2]);
            }
            lengths.add(filling);
            lengths.add(0L);
            return lengths.stream().mapToLong(Long::longValue).toArray();
        }

        PackedSequences sequences(ComputeDevice device, boolean shared) {
            if (!shared) {
                return PackedSequences.of(device, lengths(false));
            }
            List<SharedKeys.Prefix> prefixes = new ArrayList<>();
            long start = 0;
            long all = 0;
            for (long[] pair : pairs) {
                prefixes.add(SharedKeys.Prefix.NONE);
                prefixes.add(new SharedKeys.Prefix(start, pair[0]));
                start += LongStream.of(pair).sum();
                all += pair[0];
            }
            prefixes.add(SharedKeys.Prefix.NONE);
            prefixes.add(SharedKeys.Prefix.NONE);
            return PackedSequences.sharing(device, lengths(true), prefixes, (int) all + 5);
        }

        /** Rows with each prompt once as rows with each twice, (1, T, …); the second prompt times a factor. */
        Tensor twice(Tensor once, double factor) {
            TensorVector parts = new TensorVector();
            long start = 0;
            for (long[] pair : pairs) {
                parts.push_back(once.narrow(1, start, pair[0] + pair[1]));
                parts.push_back(once.narrow(1, start, pair[0]).mul(new Scalar(factor)));
                parts.push_back(once.narrow(1, start + pair[0] + pair[1], pair[2]));
                start += LongStream.of(pair).sum();
            }
            parts.push_back(once.narrow(1, start, filling));
            return torch.cat(parts, 1);
        }

        @Override
        public String toString() {
            return heads + " and " + kvHeads + " heads of " + size + ", window " + window + ", norms " + norms + ", "
                    + Arrays.deepToString(pairs) + " and " + filling;
        }
    }

    private static final List<Case> CASES = List.of(
            new Case(4, 2, 64, 0, false, new long[][] {{7, 5, 3}}, 0),
            new Case(4, 1, 128, 0, true, new long[][] {{130, 1, 77}, {1, 65, 64}, {0, 3, 2}}, 9),
            new Case(2, 2, 96, 40, false, new long[][] {{33, 100, 20}, {64, 64, 64}}, 1),
            new Case(2, 1, 256, 0, false, new long[][] {{200, 30, 150}}, 60));

    @Test
    void onACpu() {
        for (Case c : CASES) {
            compare(c, CPU, ScalarType.Float, 1e-5, 1e-5);
            compare(c, CPU, ScalarType.BFloat16, 1e-2, 1e-2);
        }
    }

    @Test
    void onAGpu() {
        Needs.gpu();
        CASES.forEach(c -> compare(c, TestGpu.device(), ScalarType.BFloat16, 1e-2, 1e-2));
    }

    @Test
    void moreThanThereIsRoomForIsRefused() {
        try (TensorScope scope = new TensorScope()) {
            List<SharedKeys.Prefix> prefixes = List.of(SharedKeys.Prefix.NONE, new SharedKeys.Prefix(0, 3));
            assertThrows(IllegalArgumentException.class, () -> SharedKeys.of(CPU, new long[] {5, 2}, prefixes, 2));
        }
    }

    private static Tensor drawn(int seed, long... shape) {
        return Tensors.normal(CPU, new SplittableRandom(seed), 1, shape).to(ScalarType.BFloat16);
    }

    /** Both in the same type, so that they differ by the order of sums alone. */
    private static void compare(Case c, ComputeDevice device, ScalarType type, double forward, double backward) {
        float[][] once = run(c, device, type, true);
        float[][] twice = run(c, device, type, false);
        double[] tolerances = {forward, backward};
        String[] names = {"output", "gradients"};
        for (int i = 0; i < once.length; i++) {
            double norm = 0;
            double difference = 0;
            for (int k = 0; k < once[i].length; k++) {
                norm += twice[i][k] * twice[i][k];
                difference += Math.pow(twice[i][k] - once[i][k], 2);
            }
            double share = Math.sqrt(difference / norm);
            assertTrue(share <= tolerances[i], c + " in " + type + ", " + names[i] + ": " + share);
        }
    }

    /** The output, and the gradient of queries, keys and values, both for a row with each prompt once. */
    private static float[][] run(Case c, ComputeDevice device, ScalarType type, boolean shared) {
        Attention.Shape shape = new Attention.Shape(c.heads(), c.kvHeads(), c.size(), 1 / Math.sqrt(c.size()), 0);
        RopeSpec rope = new RopeSpec(10_000, c.size(), new RopeScaling.None());
        try (TensorScope scope = TensorScope.forStep();
                RotaryEmbedding rotary = new RotaryEmbedding(rope, device)) {
            PackedSequences packed = c.sequences(device, shared);
            RotaryEmbedding.Angles angles = rotary.angles(packed, type);
            long tokens = LongStream.of(c.lengths(true)).sum();
            Tensor joint = Tensors.convert(drawn(1, 1, tokens, c.width()), device, type)
                    .set_requires_grad(true);
            Tensor weights = Tensors.convert(drawn(2, 1, tokens, (long) c.heads() * c.size()), device, type);
            // What comes from a projection may be overwritten, but a leaf may not.
            Tensor input = shared ? joint.mul(new Scalar(1)) : c.twice(joint, 1);
            Attention.HeadNorms norms = norms(c, device, type);
            Tensor mixed = LayerKernels.of(input)
                    .attend(
                            input,
                            shape,
                            norms,
                            angles,
                            FusedAttention.of(input, shape, new Attention.Context(angles, null, packed, c.window()))
                                    .orElseThrow());
            mixed.mul(shared ? weights : c.twice(weights, 0)).sum().backward();
            return new float[][] {
                Tensors.toFloats((shared ? c.twice(mixed, 1) : mixed).detach()), Tensors.toFloats(joint.grad())
            };
        }
    }

    private static Attention.@Nullable HeadNorms norms(Case c, ComputeDevice device, ScalarType type) {
        if (!c.norms()) {
            return null;
        }
        Tensor weight = Tensors.convert(drawn(3, c.size()).mul(new Scalar(0.3)), device, type);
        RmsNorm norm = new RmsNorm(weight.add(new Scalar(1)), 1e-6, false);
        return new Attention.HeadNorms(new Named<>("q", norm), new Named<>("k", norm));
    }
}
