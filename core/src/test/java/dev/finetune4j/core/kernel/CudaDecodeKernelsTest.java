package dev.finetune4j.core.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Attention and choice of a step, alone, against libtorch's operations in float32. */
class CudaDecodeKernelsTest {
    private static final ComputeDevice GPU = TestGpu.device();
    private static final long[] POSITIONS = {0, 1, 15, 16, 17, 100, 255, 256, 999};
    private static final int CAPACITY = 1000;

    @BeforeEach
    void needsGpu() {
        Needs.gpu();
        torch.manual_seed(5);
    }

    private static Tensor normal(ScalarType type, long... shape) {
        return Tensors.empty(GPU, type, shape).normal_(0, 1, new GeneratorOptional());
    }

    private static Tensor wide(Tensor x) {
        return x.to(ScalarType.Float);
    }

    private static Tensor zeros(long... shape) {
        return Tensors.zeros(GPU, ScalarType.Float, shape);
    }

    /** As the models turn the first channels of heads: shape (heads, 1, size). */
    private static Tensor turned(Tensor heads, Tensor cos, Tensor sin, boolean interleaved) {
        long turned = cos.size(1);
        long half = turned / 2;
        if (interleaved) {
            Tensor halves = heads.narrow(2, 0, turned)
                    .reshape(heads.size(0), 1, half, 2)
                    .transpose(2, 3)
                    .reshape(heads.size(0), 1, turned);
            Tensor result = turned(halves, cos, sin, false)
                    .reshape(heads.size(0), 1, 2, half)
                    .transpose(2, 3)
                    .reshape(heads.size(0), 1, turned);
            return torch.cat(new TensorVector(result, heads.narrow(2, turned, heads.size(2) - turned)), 2);
        }
        Tensor first = heads.narrow(2, 0, half);
        Tensor second = heads.narrow(2, half, half);
        Tensor swapped = torch.cat(new TensorVector(second.neg(), first), 2);
        Tensor result = heads.narrow(2, 0, turned).mul(cos).add(swapped.mul(sin));
        return torch.cat(new TensorVector(result, heads.narrow(2, turned, heads.size(2) - turned)), 2);
    }

    /**
     * @param turned channels of a head that are turned
     * @param window positions that are seen; 0 for all
     * @param interleaved whether neighbours turn with one another
     * @param norm NONE, PLAIN (norms on heads), OFFSET (their weights count from one) or FLOAT (their weights are float32)
     */
    @ParameterizedTest
    @CsvSource({
        "Float, 1, 8, 1, 64, 5, 64, 0, 0, NONE, false",
        "Float, 3, 2, 2, 256, 13, 256, 0, 0, NONE, false",
        "Float, 1, 3, 1, 8, 62, 8, 0, 0, NONE, false",
        "BFloat16, 1, 32, 4, 128, 62, 128, 0, 0, NONE, false",
        "BFloat16, 8, 14, 2, 64, 16, 64, 0, 0, NONE, false",
        "BFloat16, 2, 6, 2, 80, 33, 80, 0, 0, NONE, false",
        "BFloat16, 1, 4, 2, 256, 62, 256, 0, 0, NONE, false",
        "BFloat16, 1, 4, 4, 128, 62, 128, 0, 0, NONE, false",
        "BFloat16, 5, 7, 1, 96, 1, 96, 0, 0, NONE, false",
        "BFloat16, 1, 8, 1, 128, 264, 128, 0, 0, NONE, false",
        "Float, 3, 6, 2, 64, 9, 32, 100, 0, PLAIN, false",
        "Float, 1, 9, 1, 24, 12, 12, 1, 2, OFFSET, false",
        "Float, 4, 34, 2, 72, 7, 24, 33, 1.5, OFFSET, false",
        "BFloat16, 1, 32, 8, 128, 33, 128, 0, 0, PLAIN, false",
        "BFloat16, 1, 8, 4, 256, 33, 256, 64, 0, OFFSET, false",
        "BFloat16, 3, 8, 4, 256, 20, 256, 300, 20, NONE, false",
        "BFloat16, 1, 32, 32, 96, 8, 72, 2000, 0, FLOAT, false",
        "BFloat16, 2, 40, 2, 128, 16, 64, 0, 0, FLOAT, false",
        "BFloat16, 12, 32, 4, 128, 1, 128, 0, 0, NONE, false",
        "BFloat16, 9, 32, 4, 128, 4, 128, 0, 0, NONE, false",
        "BFloat16, 16, 14, 2, 64, 3, 64, 0, 0, NONE, false",
        "BFloat16, 10, 32, 8, 128, 2, 128, 0, 0, PLAIN, false",
        "BFloat16, 9, 8, 4, 256, 4, 256, 300, 20, OFFSET, false",
        "BFloat16, 11, 40, 2, 96, 2, 72, 64, 0, FLOAT, false",
        "BFloat16, 9, 6, 6, 80, 3, 80, 0, 1.5, NONE, false",
        "BFloat16, 9, 4, 2, 72, 3, 72, 0, 0, NONE, false",
        "Float, 9, 4, 2, 64, 3, 64, 0, 0, NONE, false",
        "Float, 3, 6, 2, 64, 9, 32, 100, 0, PLAIN, true",
        "BFloat16, 1, 32, 4, 128, 62, 64, 0, 0, NONE, true",
        "BFloat16, 1, 32, 8, 128, 33, 128, 0, 0, PLAIN, true",
        "BFloat16, 12, 32, 4, 128, 1, 64, 0, 0, NONE, true"
    })
    void attentionIsThatOfPlainOperations(
            ScalarType type,
            int rows,
            int heads,
            int kvHeads,
            int size,
            int splits,
            int turned,
            int window,
            double cap,
            HeadNorm norm,
            boolean interleaved) {
        AttentionSpec shape = new AttentionSpec(heads, kvHeads, size, 1 / Math.sqrt(size), cap, window);
        double tolerance = type == ScalarType.Float ? 2e-5 : 1e-2;
        Distances distances = new Distances();
        for (int first = 0; first < POSITIONS.length; first++) {
            try (TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                Tensor keys = normal(type, rows + 1L, kvHeads, CAPACITY, size);
                Tensor values = normal(type, rows + 1L, kvHeads, CAPACITY, size);
                List<DecodeRow> places = places(rows, first, new Memory(keys, values));
                Tensor half = normal(type, CAPACITY, turned / 2);
                Tensor cos = torch.cat(new TensorVector(half.cos(), half.cos()), 1);
                Tensor sin = torch.cat(new TensorVector(half.sin(), half.sin()), 1);
                DecodeAttention attention = new DecodeAttention(shape, norm.spec(type, size), norm.spec(type, size), 1);
                Tensor qkv = normal(type, rows, (heads + 2L * kvHeads) * size);
                Tensor done = Tensors.zeros(GPU, ScalarType.Int, (long) rows * heads);
                DecodeBuffers buffers = buffers(type, rows, (long) heads * size, qkv, done);
                buffers.input().write(places);
                DecodeWorkspace room = new DecodeWorkspace(
                        List.of(
                                new DecodeWorkspace.Angles(sin, cos, interleaved),
                                new DecodeWorkspace.Angles(cos, sin, interleaved)),
                        splits,
                        zeros(rows, heads, splits, size),
                        zeros(rows, heads, splits, 2),
                        done);
                Tensor oldKeys = keys.clone();
                Tensor oldValues = values.clone();

                new CudaDecodeKernels(GPU, type).attend(buffers, room, 0, attention);

                for (int row = 0; row < rows; row++) {
                    DecodeRow place = places.get(row);
                    if (place.memory() == null) {
                        continue;
                    }
                    String what = "row " + row + ", position " + place.position();
                    Tensor all = qkv.select(0, row).view(heads + 2L * kvHeads, 1, size);
                    Tensor c = wide(cos.narrow(0, place.position(), 1));
                    Tensor s = wide(sin.narrow(0, place.position(), 1));
                    Tensor query = turned(norm(all.narrow(0, 0, heads), attention.queryNorm()), c, s, interleaved);
                    Tensor key = turned(norm(all.narrow(0, heads, kvHeads), attention.keyNorm()), c, s, interleaved);
                    Tensor slotKeys = oldKeys.select(0, place.sequence()); // (kv heads, capacity, size)
                    Tensor slotValues = oldValues.select(0, place.sequence());
                    slotKeys.narrow(1, place.position(), 1).copy_(key.to(type));
                    slotValues.narrow(1, place.position(), 1).copy_(all.narrow(0, heads + (long) kvHeads, kvHeads));
                    long length = place.position() + 1;
                    long seen = window == 0 ? length : Math.min(window, length);
                    Tensor seenKeys = wide(slotKeys.narrow(1, length - seen, seen));
                    Tensor seenValues = wide(slotValues.narrow(1, length - seen, seen));
                    Tensor plain = attended(shape, wide(query.to(type)), seenKeys, seenValues);
                    Tensor actual = buffers.mixed().select(0, row);
                    if (type == ScalarType.Float) {
                        assertClose(what, plain, actual, tolerance);
                    } else {
                        Tensor exactKeys = seenKeys.clone();
                        exactKeys
                                .narrow(1, seen - 1, 1)
                                .copy_(turned(
                                        exactNorm(all.narrow(0, heads, kvHeads), attention.keyNorm()),
                                        c,
                                        s,
                                        interleaved));
                        Tensor exactQuery =
                                turned(exactNorm(all.narrow(0, 0, heads), attention.queryNorm()), c, s, interleaved);
                        Tensor exact = attended(shape, exactQuery, exactKeys, seenValues);
                        distances.add(exact, wide(plain.to(type)), wide(actual));
                    }
                }
                assertClose("keys", wide(oldKeys), keys, tolerance);
                assertClose("values", wide(oldValues), values, 0);
                assertEquals(0, done.abs().max().item_int(), "blocks left over");
            }
        }
        distances.check();
    }

    /** In float32 from the first to the last number. */
    private static Tensor exactNorm(Tensor x, @Nullable NormSpec norm) {
        if (norm == null) {
            return wide(x);
        }
        Tensor values = wide(x);
        Tensor mean = values.square().mean(new long[] {2}, true, new ScalarTypeOptional());
        Tensor weight = wide(norm.weight());
        return values.mul(mean.add(new Scalar(norm.epsilon())).rsqrt())
                .mul(norm.unitOffset() ? weight.add(new Scalar(1)) : weight);
    }

    /** @return shape (heads · size), float32 */
    private static Tensor attended(AttentionSpec shape, Tensor query, Tensor keys, Tensor values) {
        Tensor grouped = query.reshape(shape.kvHeads(), shape.heads() / shape.kvHeads(), shape.headDim());
        Tensor scores = torch.matmul(grouped, keys.transpose(1, 2)).mul(new Scalar(shape.scale()));
        if (shape.softCap() > 0) {
            scores = scores.div(new Scalar(shape.softCap())).tanh().mul(new Scalar(shape.softCap()));
        }
        Tensor weights = torch.softmax(scores, 2, new ScalarTypeOptional());
        return torch.matmul(weights, values).reshape(-1);
    }

    /**
     * How far results in bfloat16 are from those without any rounding of norms, queries, keys and sums, in all. A single number may well round
     * to its other neighbour, which peaked weights make large.
     */
    private static final class Distances {
        private double ofPlain;
        private double ofKernel;

        void add(Tensor exact, Tensor plain, Tensor kernel) {
            double size = exact.square().sum().item_double();
            ofPlain += plain.sub(exact).square().sum().item_double() / size;
            ofKernel += kernel.sub(exact).square().sum().item_double() / size;
        }

        void check() {
            double ratio = ofPlain == 0 && ofKernel == 0 ? 0 : Math.sqrt(ofKernel / ofPlain);
            assertTrue(ratio <= 1.5, "the error is " + ratio + " times that of plain operations");
        }
    }

    /** Norms on the heads of queries and keys. */
    enum HeadNorm {
        NONE,
        PLAIN,
        OFFSET,
        FLOAT;

        @Nullable
        NormSpec spec(ScalarType type, int size) {
            return this == NONE
                    ? null
                    : new NormSpec(normal(this == FLOAT ? ScalarType.Float : type, size), 1e-6, this == OFFSET);
        }
    }

    /** As the layers normalise, in float32. */
    private static Tensor norm(Tensor x, @Nullable NormSpec norm) {
        if (norm == null) {
            return wide(x);
        }
        RmsNorm layer = new RmsNorm(norm.weight(), norm.epsilon(), norm.unitOffset());
        return wide(layer.forward(x.contiguous()));
    }

    @ParameterizedTest
    @CsvSource({
        "Float, 1, 8, false, false",
        "Float, 3, 4096, true, false",
        "BFloat16, 2, 2560, true, true",
        "BFloat16, 1, 4096, false, false",
        "BFloat16, 5, 2304, true, true",
        "BFloat16, 1, 16384, true, false",
        "BFloat16, 8, 5128, false, true"
    })
    void normsTakeUpTheHalfBeforeThem(ScalarType type, int rows, int width, boolean after, boolean offset) {
        for (ScalarType weights : List.of(type, ScalarType.Float)) {
            try (TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                Tensor state = normal(type, rows, width);
                Tensor half = normal(type, rows, width);
                NormSpec norm = new NormSpec(normal(weights, width), 1e-6, offset);
                NormSpec last = after ? new NormSpec(normal(weights, width), 1e-5, offset) : null;
                Tensor sum = after ? state.add(norm(half, last).to(type)) : state.clone();
                DecodeBuffers buffers = new DecodeBuffers(
                        rows, new DecodeInput(GPU, rows, 1), state, half, half, half, half, half, half, half, half);

                new CudaDecodeKernels(GPU, type).norm(buffers, last, norm);

                double tolerance = type == ScalarType.Float ? 1e-5 : 1e-2;
                assertClose("stream", wide(sum), state, tolerance);
                assertClose("norm", norm(state, norm), half, tolerance);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {8, 360, 11008})
    void gatesAndCapsAreThoseOfLibtorch(long width) {
        for (ScalarType type : new ScalarType[] {ScalarType.Float, ScalarType.BFloat16}) {
            try (TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                double tolerance = type == ScalarType.Float ? 1e-5 : 1e-2;
                Tensor both = normal(type, 3, 2 * width);
                Tensor y = normal(type, 3, width);
                Tensor logits = normal(type, 3, width).mul(new Scalar(40));
                Tensor capped = wide(logits).div(new Scalar(30)).tanh().mul(new Scalar(30));
                DecodeBuffers buffers = new DecodeBuffers(
                        3, new DecodeInput(GPU, 3, 1), both, both, both, both, both, y, both, logits, both);
                for (Activation activation : Activation.values()) {
                    new CudaDecodeKernels(GPU, type).gate(buffers.both(), activation, buffers.gated());
                    Tensor gate = activation.apply(wide(both.narrow(1, 0, width)));
                    assertClose(activation.name(), gate.mul(wide(both.narrow(1, width, width))), y, tolerance);
                }
                new CudaDecodeKernels(GPU, type).softCap(buffers, 30);
                assertClose("soft cap", capped, logits, tolerance);
            }
        }
    }

    private record Memory(Tensor keys, Tensor values) implements KeyValueMemory {
        @Override
        public long capacity() {
            return keys.size(2);
        }

        @Override
        public long moves() {
            return 0;
        }

        @Override
        public Tensor keys(int layer) {
            return keys;
        }

        @Override
        public Tensor values(int layer) {
            return values;
        }
    }

    /** Rows at different positions, in another order than their sequences; of three rows the second is idle. */
    private static List<DecodeRow> places(int rows, int first, KeyValueMemory memory) {
        List<DecodeRow> places = new ArrayList<>();
        for (int row = 0; row < rows; row++) {
            boolean idle = rows > 2 && row == 1;
            long position = POSITIONS[(first + row) % POSITIONS.length];
            places.add(idle ? DecodeRow.idle() : new DecodeRow(position, 0, memory, rows - row));
        }
        return places;
    }

    private static void assertClose(String what, Tensor expected, Tensor actual, double tolerance) {
        double error = wide(actual).sub(expected).abs().max().item_double()
                / expected.abs().max().item_double();
        assertTrue(error <= tolerance, what + ": relative error " + error);
    }

    private static DecodeBuffers buffers(ScalarType type, int rows, long mixed, Tensor logitsOrHeads, Tensor done) {
        Tensor none = zeros(1);
        return new DecodeBuffers(
                rows,
                new DecodeInput(GPU, rows, 1),
                none,
                none,
                logitsOrHeads,
                Tensors.zeros(GPU, type, rows, mixed),
                none,
                none,
                none,
                logitsOrHeads,
                done);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 7, 64, 1001, 64000, 151936})
    void theFirstOfTheLikeliestIsChosen(long vocabulary) {
        for (ScalarType type : new ScalarType[] {ScalarType.Float, ScalarType.BFloat16}) {
            try (TensorScope scope = new TensorScope();
                    NoGradGuard off = new NoGradGuard()) {
                int rows = 6;
                Tensor logits = normal(type, rows, vocabulary);
                long[] places = {0, vocabulary - 1, vocabulary / 2, vocabulary / 3, 0, 0};
                for (int i = 0; i < rows; i++) {
                    logits.select(0, i).narrow(0, places[i], 1).fill_(new Scalar(9));
                    // An equal one behind it changes nothing.
                    logits.select(0, i).narrow(0, vocabulary - 1, 1).fill_(new Scalar(9));
                }
                logits.select(0, 3).narrow(0, vocabulary / 4, 1).fill_(new Scalar(Double.NaN));
                logits.select(0, 4).narrow(0, vocabulary / 4, 1).fill_(new Scalar(Double.POSITIVE_INFINITY));
                logits.select(0, 5).fill_(new Scalar(Double.NEGATIVE_INFINITY));
                DecodeBuffers buffers = buffers(type, rows, 8, logits, logits);
                Tensor cache = zeros(rows, 1, 5, 8);
                KeyValueMemory memory = new Memory(cache, cache);
                List<DecodeRow> step = new ArrayList<>();
                for (int i = 0; i < rows; i++) {
                    step.add(i == 2 ? DecodeRow.idle() : new DecodeRow(i % 2 + 1, 7, memory, i));
                }
                buffers.input().write(step);
                Tensor chosen = Tensors.zeros(GPU, ScalarType.Long, 5, rows);
                DecodeWorkspace room = new DecodeWorkspace(List.of(), 1, logits, logits, chosen);

                new CudaDecodeKernels(GPU, type).argmax(buffers, room);

                assertArrayEquals(new long[] {places[0], 0, 0, 0, -1, 0}, Tensors.toLongs(chosen.narrow(0, 1, 1)));
                assertArrayEquals(new long[] {0, places[1], 0, -1, 0, -1}, Tensors.toLongs(chosen.narrow(0, 2, 1)));
                assertArrayEquals(
                        new long[] {
                            2, 5, places[0], places[0], 3, 5, places[1], places[1], -1, 0, 0, -1, //
                            3, 5, 0, -1, 2, 5, 0, -1, 3, 5, 0, -1
                        },
                        Tensors.toLongs(buffers.input().step()));
            }
        }
    }
}
