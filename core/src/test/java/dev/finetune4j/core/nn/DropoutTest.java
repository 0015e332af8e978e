package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.autograd.Recompute;
import dev.finetune4j.core.kernel.cpu.CpuLevel;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Masks that look random, depend on nothing but what they are made from, and are the same wherever they are made. */
class DropoutTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();
    private static final List<ScalarType> TYPES = List.of(ScalarType.Float, ScalarType.BFloat16);
    private static final int MANY = 100_000;

    /** Published with the generator. */
    @ParameterizedTest
    @CsvSource({
        "00000000 00000000 00000000 00000000, 00000000 00000000, 5f6fb709 0d893f64 4f121f81 4f730a48",
        "ffffffff ffffffff ffffffff ffffffff, ffffffff ffffffff, 5207ddc2 45165e59 4d8ee751 8c52f662",
        "243f6a88 85a308d3 13198a2e 03707344, a4093822 299f31d0, 4dfccaba 190a87f0 c47362ba b6b5242a"
    })
    void theGeneratorGivesItsKnownAnswers(String counter, String key, String expected) {
        int[] words = words(counter);
        int[] keys = words(key);
        Philox.block(words, keys[0], keys[1]);
        assertArrayEquals(words(expected), words);
    }

    private static int[] words(String text) {
        return text.lines()
                .flatMap(line -> List.of(line.split(" ")).stream())
                .mapToInt(HexFormat::fromHexDigits)
                .toArray();
    }

    private static Dropout.Mask mask(long seed, int pass, int part, int module, double share) {
        return Dropout.Mask.of(new Dropout.Draw(seed, pass, part, null), share, module);
    }

    /** 1 where an element stays, for the first elements of a mask. */
    private static int[] kept(Dropout.Mask mask, int count) {
        float[] factors = mask.factors(count);
        int[] kept = new int[count];
        for (int i = 0; i < count; i++) {
            kept[i] = factors[i] == 0 ? 0 : 1;
        }
        return kept;
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 3, 4, 4099, 3_000_001})
    void aGpuMakesTheSameMasks(long count) {
        Needs.gpu();
        ComputeDevice gpu = TestGpu.device();
        Dropout.Mask mask = mask(-42, 3, 1, 7, 0.1);
        float[] expected = mask.factors(Math.toIntExact(count));
        for (ScalarType type : TYPES) {
            try (TensorScope scope = new TensorScope()) {
                float[] actual = Tensors.toFloats(
                        mask.applyTo(Tensors.ones(gpu, ScalarType.Float, count).to(type)));
                assertArrayEquals(expected, actual, type == ScalarType.Float ? 0 : 1f / 256);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.01, 0.05, 0.1, 0.3, 0.5, 0.9})
    void theShareIsDroppedAndTheRestMakesUpForIt(double share) {
        float[] factors = mask(42, 3, 0, 7, share).factors(MANY);
        int dropped = 0;
        for (float factor : factors) {
            // Shares count in steps of 1 / 65536.
            assertTrue(factor == 0 || Math.abs(1 - 1 / factor - share) <= 0.5 / 65536 + 1e-7);
            dropped += factor == 0 ? 1 : 0;
        }
        // Five standard deviations.
        assertEquals(share * MANY, dropped, 5 * Math.sqrt(MANY * share * (1 - share)));
    }

    /** The correlation of two sequences of zeros and ones that are 1 in half of the places. */
    private static void assertIndependent(int[] one, int[] other, int shift, String what) {
        int equal = 0;
        int count = one.length - shift;
        for (int i = 0; i < count; i++) {
            equal += one[i] == other[i + shift] ? 1 : 0;
        }
        assertEquals(count / 2.0, equal, 5 * Math.sqrt(count / 4.0), what);
    }

    @Test
    void elementsAreIndependentOfThoseNearby() {
        int[] kept = kept(mask(42, 3, 0, 7, 0.5), MANY);
        for (int shift : new int[] {1, 2, 3, 4, 5, 8, 16, 64, 896, 4096}) {
            assertIndependent(kept, kept, shift, "elements " + shift + " apart");
        }
    }

    @Test
    void seedsPassesPartsAndModulesHaveMasksOfTheirOwn() {
        List<Dropout.Mask> masks = new ArrayList<>();
        for (long seed : new long[] {0, 1, 42, 1L << 32, -1}) {
            masks.add(mask(seed, 0, 0, 0, 0.5));
        }
        for (int i = 1; i < 8; i++) {
            masks.add(mask(0, i, 0, 0, 0.5));
            masks.add(mask(0, 0, i, 0, 0.5));
            masks.add(mask(0, 0, 0, i, 0.5));
        }
        List<int[]> kept = masks.stream().map(mask -> kept(mask, 20_000)).toList();
        for (int i = 0; i < kept.size(); i++) {
            for (int j = 0; j < i; j++) {
                for (int shift : new int[] {0, 1, 4}) {
                    assertIndependent(kept.get(i), kept.get(j), shift, masks.get(i) + " and " + masks.get(j));
                }
            }
        }
    }

    @Test
    void theSameIsMadeTheSameAgainAndAShorterOneIsItsBeginning() {
        Dropout.Mask mask = mask(42, 3, 1, 7, 0.3);
        float[] all = mask.factors(1003);
        assertArrayEquals(all, mask.factors(1003));
        float[] some = mask.factors(10);
        for (int i = 0; i < some.length; i++) {
            assertEquals(all[i], some[i]);
        }
    }

    @ParameterizedTest
    @EnumSource(CpuLevel.class)
    void kernelsMakeTheMasksOfJava(CpuLevel level) {
        var elements = Needs.cpuKernels(level).elements();
        SplittableRandom random = new SplittableRandom(5);
        try (TensorScope scope = new TensorScope()) {
            for (ScalarType type : TYPES) {
                for (long count : new long[] {1, 3, 4, 5, 63, 64, 65, 1000, 4096, 70_001}) {
                    Dropout.Mask mask = mask(random.nextLong(), random.nextInt(), random.nextInt(), 9, 0.3);
                    Tensor x = Tensors.normal(CPU, random, 1, count).to(type);
                    Tensor y = Tensors.emptyLike(x);
                    elements.dropout(x, y, mask.counter(), mask.drawn().seed(), mask.threshold(), mask.scale());
                    assertTrue(mask.hostMask(x).equal(y), level + " " + type + " " + count);
                    assertTrue(mask.applyTo(x).equal(y), level + " " + type + " " + count);
                }
            }
        }
    }

    @Test
    void sharesAtTheEdgesAreCountedWithoutSign() {
        SplittableRandom random = new SplittableRandom(6);
        try (TensorScope scope = new TensorScope()) {
            for (double share : new double[] {1e-12, 0.5, 0.5000001, 0.999999}) {
                Dropout.Mask mask = mask(1, 2, 0, 3, share);
                Tensor x = Tensors.normal(CPU, random, 1, 1000);
                assertTrue(mask.hostMask(x).equal(mask.applyTo(x)), "share " + share);
            }
            assertEquals(
                    1000, Arrays.stream(kept(mask(1, 2, 0, 3, 1e-12), 1000)).sum());
            assertTrue(Arrays.stream(kept(mask(1, 2, 0, 3, 0.999999), 1000)).sum() < 3);
        }
    }

    @Test
    void halfPrecisionAndViewsAreServedToo() {
        try (TensorScope scope = new TensorScope()) {
            Dropout.Mask mask = mask(1, 2, 0, 3, 0.3);
            Tensor x = Tensors.normal(CPU, new SplittableRandom(6), 1, 8, 12);
            Tensor half = x.to(ScalarType.Half);
            assertEquals(ScalarType.Half, Tensors.typeOf(mask.applyTo(half)));
            assertTrue(mask.applyTo(x.t()).equal(mask.applyTo(x.t().contiguous())));
        }
    }

    @Test
    void theGradientHasTheMaskOfTheForwardPass() {
        try (TensorScope scope = TensorScope.forStep();
                Dropout.Pass given = Dropout.of(new Dropout.Draw(42, 5));
                Dropout.Pass pass = Dropout.decoder(true)) {
            for (ScalarType type : TYPES) {
                Tensor x = Tensors.ones(CPU, type, 30, 41).set_requires_grad(true);
                Tensor y = Dropout.apply(x, 0.3, 2);
                y.sum().backward();
                assertTrue(y.detach().equal(x.grad()));
                assertArrayEquals(
                        Tensors.toFloats(
                                Tensors.ofFloats(CPU, mask(42, 5, 0, 2, 0.3).factors(30 * 41), 30, 41)
                                        .to(type)),
                        Tensors.toFloats(y.detach()));
            }
        }
    }

    @Test
    void nothingIsDroppedOutsideOfPassesThatRecord() {
        try (TensorScope scope = new TensorScope();
                Dropout.Pass given = Dropout.of(new Dropout.Draw(42, 5))) {
            Tensor x = Tensors.ones(CPU, ScalarType.Float, 8);
            assertSame(x, Dropout.apply(x, 0.3, 2));
            try (Dropout.Pass pass = Dropout.decoder(false)) {
                assertSame(x, Dropout.apply(x, 0.3, 2));
            }
            try (NoGradGuard off = new NoGradGuard();
                    Dropout.Pass pass = Dropout.decoder(true)) {
                assertSame(x, Dropout.apply(x, 0.3, 2));
            }
            try (Dropout.Pass pass = Dropout.decoder(true)) {
                assertSame(x, Dropout.apply(x, 0, 2));
                assertTrue(Dropout.isActive());
            }
            assertNull(Dropout.current());
        }
    }

    @Test
    void eachProjectionOfAPassHasAPartOfItsOwn() {
        for (int again = 0; again < 2; again++) {
            try (Dropout.Pass given = Dropout.of(new Dropout.Draw(42, 5))) {
                for (int part = 1; part <= 3; part++) {
                    try (Dropout.Pass pass = Dropout.projection(true)) {
                        assertEquals(new Dropout.Draw(42, 5, part, null), Dropout.current());
                    }
                }
            }
        }
    }

    /** As a training does it with blocks that are computed again, beside another, and beside draws from libtorch's generator. */
    @Test
    void threadsThatComputeBlocksAgainDoNotDisturbOneAnother() throws Exception {
        int threads = 3;
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try {
            CyclicBarrier start = new CyclicBarrier(threads);
            List<Future<Integer>> wrong = new ArrayList<>();
            for (int i = 0; i < threads; i++) {
                long seed = i;
                wrong.add(pool.submit(() -> {
                    start.await();
                    return wrongGradients(seed);
                }));
            }
            for (Future<Integer> each : wrong) {
                assertEquals(0, each.get());
            }
        } finally {
            pool.shutdown();
        }
    }

    private static int wrongGradients(long seed) {
        int wrong = 0;
        for (int step = 0; step < 100; step++) {
            try (TensorScope scope = TensorScope.forStep();
                    Dropout.Pass given = Dropout.of(new Dropout.Draw(seed, step));
                    Dropout.Pass pass = Dropout.decoder(true)) {
                Dropout.Draw draw = Dropout.current();
                Tensor x = Tensors.ones(CPU, ScalarType.Float, 4000).set_requires_grad(true);
                Tensor y = Recompute.apply(
                        x,
                        t -> Dropout.apply(Dropout.apply(t, 0.3, 0), 0.3, 1),
                        t -> Dropout.again(draw, () -> Dropout.apply(Dropout.apply(t, 0.3, 0), 0.3, 1)));
                torch.rand(new long[] {8});
                y.sum().backward();
                wrong += y.detach().equal(x.grad()) ? 0 : 1;
            }
        }
        return wrong;
    }
}
