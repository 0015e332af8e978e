package dev.finetune4j.core.kernel.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import java.util.List;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Element-wise kernels and those for one token of each level that the machine has, against libtorch's operations. */
class CpuKernelsTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();
    private static final List<ScalarType> TYPES = List.of(ScalarType.Float, ScalarType.BFloat16);

    private final SplittableRandom random = new SplittableRandom(3);
    private TensorScope scope;

    @BeforeEach
    void open() {
        scope = new TensorScope();
    }

    @AfterEach
    void close() {
        scope.close();
    }

    private static CpuKernels kernels(CpuLevel level) {
        return Needs.cpuKernels(level);
    }

    private Tensor random(ScalarType type, long... shape) {
        return Tensors.uniform(CPU, random, 2, shape).to(type);
    }

    private static Tensor wide(Tensor x) {
        return x.to(ScalarType.Float);
    }

    private static void assertNear(Tensor expected, Tensor actual, ScalarType type) {
        float[] wanted = Tensors.toFloats(expected);
        float largest = 0;
        for (float value : wanted) {
            largest = Math.max(largest, Math.abs(value));
        }
        float share = type == ScalarType.Float ? 4e-6f : 1 / 64f;
        assertArrayEquals(wanted, Tensors.toFloats(actual), Math.max(share * largest, Float.MIN_NORMAL));
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void normsAndTheirGradients(CpuLevel level) {
        ElementKernels elements = kernels(level).elements();
        for (ScalarType type : TYPES) {
            for (long width : new long[] {1, 7, 16, 37, 896}) {
                for (boolean unitOffset : new boolean[] {false, true}) {
                    Tensor x = random(type, 5, width);
                    Tensor weight = random(type, width);
                    Tensor gradient = random(type, 5, width);
                    Tensor past = random(type, 5, width);
                    Tensor leaf = wide(x).clone().set_requires_grad(true);
                    Tensor mean = leaf.mul(leaf).mean(new long[] {-1}, true, new ScalarTypeOptional());
                    Tensor factor = unitOffset ? wide(weight).add(new Scalar(1)) : wide(weight);
                    Tensor expected =
                            leaf.mul(mean.add(new Scalar(1e-5)).rsqrt()).mul(factor);
                    expected.mul(wide(gradient)).sum().backward();
                    Tensor y = Tensors.emptyLike(x);
                    Tensor inverse = Tensors.empty(CPU, ScalarType.Float, 5);
                    elements.rmsForward(x, weight, y, inverse, 1e-5f, unitOffset);
                    assertNear(expected.detach(), y, type);
                    Tensor dx = Tensors.emptyLike(x);
                    elements.rmsBackward(gradient, x, weight, inverse, past, dx, gradient, unitOffset);
                    assertNear(leaf.grad().add(wide(past)), dx, type);
                    assertEquals(true, gradient.equal(y), "the result is brought back");
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void gatedUnitsAndTheirGradients(CpuLevel level) {
        ElementKernels elements = kernels(level).elements();
        for (ScalarType type : TYPES) {
            for (long width : new long[] {1, 9, 64, 451}) {
                Tensor both = random(type, 3, 2 * width);
                Tensor gradient = random(type, 3, width);
                Tensor leaf = wide(both).clone().set_requires_grad(true);
                Tensor expected = torch.silu(leaf.narrow(1, 0, width)).mul(leaf.narrow(1, width, width));
                expected.mul(wide(gradient)).sum().backward();
                Tensor y = Tensors.empty(CPU, type, 3, width);
                elements.swigluForward(both, y);
                assertNear(expected.detach(), y, type);
                elements.swigluBackward(gradient, both, gradient);
                assertNear(leaf.grad(), both, type);
                assertNear(expected.detach(), gradient, type);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void headsAreTurnedInPlaceAndBack(CpuLevel level) {
        ElementKernels elements = kernels(level).elements();
        for (ScalarType type : TYPES) {
            for (long size : new long[] {2, 10, 64}) {
                Tensor x = random(type, 2, 3, 4, size);
                Tensor cos = random(type, 3, size / 2);
                Tensor sin = random(type, 3, size / 2);
                Tensor cosines = torch.cat(new TensorVector(cos, cos), 1);
                Tensor sines = torch.cat(new TensorVector(sin, sin), 1);
                Tensor first = wide(x).narrow(3, 0, size / 2);
                Tensor second = wide(x).narrow(3, size / 2, size / 2);
                Tensor c = wide(cos).view(1, 3, 1, size / 2);
                Tensor s = wide(sin).view(1, 3, 1, size / 2);
                for (int direction : new int[] {1, -1}) {
                    Tensor turned = s.mul(new Scalar(direction));
                    Tensor expected = torch.cat(
                            new TensorVector(
                                    first.mul(c).sub(second.mul(turned)),
                                    second.mul(c).add(first.mul(turned))),
                            3);
                    Tensor y = Tensors.emptyLike(x);
                    elements.rope(x, y, cosines, sines, direction);
                    assertNear(expected, y, type);
                    Tensor own = x.clone();
                    elements.rope(own, own, cosines, sines, direction);
                    assertEquals(true, y.equal(own));
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void logitsBecomeGradients(CpuLevel level) {
        ElementKernels elements = kernels(level).elements();
        for (ScalarType type : TYPES) {
            for (long width : new long[] {1, 13, 512, 1003}) {
                float cap = width % 2 == 0 || width == 13 ? 0 : 1.5f;
                Tensor logits = random(type, 3, width);
                Tensor labels = Tensors.ofLongs(CPU, new long[] {0, -100, width - 1}, 3);
                Tensor leaf = wide(logits).clone().set_requires_grad(true);
                Tensor capped =
                        cap == 0 ? leaf : leaf.div(new Scalar(cap)).tanh().mul(new Scalar(cap));
                Tensor log = torch.log_softmax(capped, 1);
                Tensor rows = torch.stack(new TensorVector(
                        log.select(0, 0).select(0, 0).neg(),
                        log.select(0, 2).select(0, width - 1).neg()));
                rows.sum().mul(new Scalar(0.25)).backward();
                Tensor losses = Tensors.empty(CPU, ScalarType.Float, 3);
                elements.crossEntropy(logits, labels, losses, 0.25f, cap);
                float[] found = Tensors.toFloats(losses);
                float[] wanted = Tensors.toFloats(rows.detach());
                assertArrayEquals(new float[] {wanted[0], 0, wanted[1]}, found, 1e-4f);
                assertNear(leaf.grad(), logits, type);
            }
        }
        Tensor broken = Tensors.zeros(CPU, ScalarType.Float, 1, 40).div(Tensors.scalar(0));
        Tensor losses = Tensors.empty(CPU, ScalarType.Float, 1);
        elements.crossEntropy(broken, Tensors.ofLongs(CPU, new long[] {3}, 1), losses, 1, 0);
        assertTrue(Float.isNaN(Tensors.toFloats(losses)[0]), "what is no number makes no loss");
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void gemv(CpuLevel level) {
        TokenKernels tokens = kernels(level).tokens();
        for (ScalarType type : TYPES) {
            for (long[] s : new long[][] {{1, 1, 1, 1}, {1, 37, 19, 3}, {3, 200, 448, 16}, {2, 5, 1001, 24}}) {
                long rows = s[0];
                long out = s[1];
                Tensor weight = random(type, out, s[2]);
                Tensor x = random(type, rows, s[2]);
                Tensor bias = random(type, out);
                Tensor y = Tensors.empty(CPU, type, rows, out + 3).narrow(1, 2, out);
                tokens.gemv(weight, x, bias, y, false);
                Tensor product = wide(x).mm(wide(weight).t());
                assertNear(product.add(wide(bias)), y.contiguous(), type);
                Tensor start = wide(y).clone();
                tokens.gemv(weight, x, null, y, true);
                assertNear(product.add(start), y.contiguous(), type);
                Tensor a = random(ScalarType.Float, s[3], s[2]);
                Tensor b = random(ScalarType.Float, out, s[3]);
                Tensor low = Tensors.zeros(CPU, ScalarType.Float, rows * s[3] + 4);
                tokens.lowRank(a, x, low, 4, 0.5f);
                Tensor narrow = wide(x).mm(a.t()).mul(new Scalar(0.5));
                assertNear(
                        narrow, low.narrow(0, 4, rows * s[3]).view(rows, s[3]).clone(), ScalarType.Float);
                start = wide(y).clone();
                tokens.highRank(b, low, 4, y, true);
                assertNear(narrow.mm(b.t()).add(start), y.contiguous(), type);
                tokens.highRank(b, low, 4, y, false);
                assertNear(narrow.mm(b.t()), y.contiguous(), type);
            }
        }
        Tensor weight = random(ScalarType.Float, 4, 6);
        Tensor x = random(ScalarType.Float, 1, 6);
        Tensor y = random(ScalarType.Float, 1, 5);
        assertThrows(IllegalArgumentException.class, () -> tokens.gemv(weight, x, null, y, false));
        assertThrows(IllegalArgumentException.class, () -> tokens.lowRank(weight, x, y, 2, 1));
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void attentionOfOneToken(CpuLevel level) {
        CpuKernels kernels = kernels(level);
        TokenKernels tokens = kernels.tokens();
        for (ScalarType type : TYPES) {
            for (long[] s : new long[][] {{1, 1, 2, 0}, {4, 2, 10, 1}, {6, 2, 64, 37}, {3, 3, 40, 300}}) {
                try (TensorScope turn = new TensorScope()) {
                    attentionOfOneToken(kernels, type, s[0], s[1], s[2], s[3]);
                }
            }
        }
        Tensor cache = random(ScalarType.Float, 1, 1, 4, 8);
        Tensor angles = random(ScalarType.Float, 9, 8);
        Tensor room = random(ScalarType.Float, 100);
        Tensor qkv = random(ScalarType.Float, 1, 24);
        Tensor mixed = random(ScalarType.Float, 1, 8);
        assertThrows(
                IllegalArgumentException.class,
                () -> tokens.attend(
                        qkv, cache, cache, 4, angles, angles, false, new TokenKernels.Scores(1, 0, 0), room, mixed),
                "there is no room for a fifth position");
    }

    private void attentionOfOneToken(
            CpuKernels kernels, ScalarType type, long heads, long kvHeads, long size, long position) {
        long capacity = position + 5;
        Tensor qkv = random(type, 1, (heads + 2 * kvHeads) * size);
        Tensor keys = random(type, 1, kvHeads, capacity, size);
        Tensor values = random(type, 1, kvHeads, capacity, size);
        Tensor half = random(type, capacity, size / 2);
        Tensor cosines = torch.cat(new TensorVector(half, half), 1);
        half = random(type, capacity, size / 2);
        Tensor sines = torch.cat(new TensorVector(half, half), 1);
        Tensor given = qkv.view(heads + 2 * kvHeads, size).clone();
        Tensor turned = Tensors.emptyLike(given.narrow(0, 0, heads + kvHeads));
        turn(kernels.elements(), given, turned, cosines.narrow(0, position, 1), sines.narrow(0, position, 1));
        Tensor room = Tensors.empty(CPU, ScalarType.Float, TokenKernels.room(heads, size, capacity));
        Tensor mixed = Tensors.empty(CPU, type, 1, heads * size);
        kernels.tokens()
                .attend(
                        qkv,
                        keys,
                        values,
                        position,
                        cosines,
                        sines,
                        false,
                        new TokenKernels.Scores(0.3f, 0, 0),
                        room,
                        mixed);
        assertTrue(
                keys.select(0, 0).select(1, position).equal(turned.narrow(0, heads, kvHeads)),
                "the key is in the cache");
        assertTrue(
                values.select(0, 0).select(1, position).equal(given.narrow(0, heads + kvHeads, kvHeads)),
                "the value is in the cache");
        Tensor query = wide(turned.narrow(0, 0, heads)).view(kvHeads, heads / kvHeads, size);
        Tensor seen = wide(keys).select(0, 0).narrow(1, 0, position + 1);
        Tensor weights = torch.softmax(query.matmul(seen.transpose(1, 2)).mul(new Scalar(0.3)), -1);
        Tensor expected = weights.matmul(wide(values).select(0, 0).narrow(1, 0, position + 1));
        assertNear(expected.reshape(1, heads * size), mixed, type);
    }

    /** Queries and keys turned by the kernel that another test holds against libtorch. */
    private static void turn(ElementKernels elements, Tensor given, Tensor turned, Tensor cosines, Tensor sines) {
        long heads = turned.size(0);
        long size = turned.size(1);
        elements.rope(
                given.narrow(0, 0, heads).view(1, 1, heads, size),
                turned.view(1, 1, heads, size),
                cosines.contiguous(),
                sines.contiguous(),
                1);
    }
}
