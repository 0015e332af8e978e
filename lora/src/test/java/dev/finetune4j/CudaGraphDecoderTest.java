package dev.finetune4j;

import static dev.finetune4j.DecoderCases.PROMPT;
import static dev.finetune4j.DecoderCases.adapter;
import static dev.finetune4j.DecoderCases.append;
import static dev.finetune4j.DecoderCases.followLength;
import static dev.finetune4j.DecoderCases.ordinary;
import static dev.finetune4j.DecoderCases.squaredDistance;
import static dev.finetune4j.testsupport.TensorData.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.decode.CudaGraphDecoder;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.inference.InferenceSession;
import dev.finetune4j.core.inference.TokenGenerator;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.RandomWeights;
import dev.finetune4j.testsupport.TestGpu;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Recorded steps on a GPU against the ordinary pass. */
class CudaGraphDecoderTest {
    private static final ComputeDevice GPU = TestGpu.device();

    @TempDir
    Path folder;

    private CausalLM model(boolean qwen, boolean fourBit, Precision precision) {
        return model(qwen ? RandomWeights.Family.QWEN2 : RandomWeights.Family.LLAMA, fourBit, precision);
    }

    private CausalLM model(RandomWeights.Family family, boolean fourBit, Precision precision) {
        Needs.gpu();
        LinearFactory factory = fourBit ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        return RandomWeights.model(folder.resolve("model"), family, factory, new Placement(GPU, precision));
    }

    private static long[] wide(int... ids) {
        return Arrays.stream(ids).asLongStream().toArray();
    }

    private static int argmax(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            best = logits[i] > logits[best] ? i : best;
        }
        return best;
    }

    @ParameterizedTest
    @CsvSource({
        "LLAMA, false, false",
        "QWEN2, true, false",
        "LLAMA, true, true",
        "QWEN3, true, true",
        "GEMMA, true, false",
        "GEMMA2, false, true",
        "GEMMA3, true, true",
        "PHI3, true, true",
        "MISTRAL, true, false",
        "DYNAMIC, true, true",
        "SMOLLM3, true, true",
        "QWEN3_MOE, true, true",
        "QWEN2_MOE, true, true",
        "GRANITE, true, true",
        "OLMO2, true, true",
        "OLMO2, false, false",
        "GLM4, true, true",
        "GLM4, false, false",
        "COHERE, true, true",
        "COHERE, false, false"
    })
    void hasTheLogitsOfTheOrdinaryPass(RandomWeights.Family family, boolean fourBit, boolean adapted) {
        double tolerance = 1e-4;
        try (CausalLM base = model(family, fourBit, Precision.FP32);
                PeftAdapter adapter = adapter(base)) {
            CausalLM model = adapted ? adapter.attachTo(base) : base;
            assertEquals("", CudaGraphDecoder.unsupportedReason(model).orElse(""));
            try (KvCache expectedCache = model.newCache();
                    KvCache cache = model.newCache();
                    CudaGraphDecoder decoder = new CudaGraphDecoder(model, cache, 1)) {
                ordinary(model, expectedCache, 1, PROMPT);
                int next = argmax(ordinary(model, cache, 1, PROMPT));
                long[] ids = PROMPT;
                for (int i = 0; i < 64; i++) {
                    followLength(model, 1, ids, expectedCache, cache);
                    ids = append(1, ids, next);
                    float[] expected = ordinary(model, expectedCache, 1, next);
                    float[] actual = Tensors.toFloats(decoder.feed(next));
                    assertClose("step " + i, expected, actual, tolerance);
                    assertEquals(argmax(actual), decoder.argmax(1)[0][0], "step " + i);
                    assertEquals(argmax(expected), argmax(actual), "step " + i);
                    next = argmax(expected);
                }
                // The keys and values in the cache are those of the ordinary pass too.
                assertClose(
                        "piece behind",
                        ordinary(model, expectedCache, 1, 5, 6, 7),
                        ordinary(model, cache, 1, 5, 6, 7),
                        tolerance);
                for (int length : new int[] {2, 8, 9, 30, 1, 64}) {
                    if (decoder.maxPiece() == 0) {
                        // Its frequencies go with the length of the text.
                        assertTrue(family == RandomWeights.Family.PHI3 || family == RandomWeights.Family.DYNAMIC);
                        assertThrows(IllegalArgumentException.class, () -> decoder.feedPiece(1, 2));
                        break;
                    }
                    int[] piece =
                            new SplittableRandom(length).ints(length, 0, 300).toArray();
                    assertClose(
                            "piece of " + length,
                            ordinary(model, expectedCache, 1, wide(piece)),
                            Tensors.toFloats(decoder.feedPiece(piece)),
                            tolerance);
                    assertClose(
                            "behind a piece of " + length,
                            ordinary(model, expectedCache, 1, 3),
                            Tensors.toFloats(decoder.feed(3)),
                            tolerance);
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"2, FP32, 1e-4", "8, FP32, 1e-4"})
    void decodesSeveralSequences(int rows, Precision precision, double tolerance) {
        try (CausalLM model = model(false, true, precision);
                KvCache expectedCache = model.newCache();
                KvCache cache = model.newCache();
                CudaGraphDecoder decoder = new CudaGraphDecoder(model, cache, rows)) {
            long[] prompts = new SplittableRandom(2).longs(rows * 9L, 0, 300).toArray();
            ordinary(model, expectedCache, rows, prompts);
            ordinary(model, cache, rows, prompts);
            long[] next = new SplittableRandom(3).longs(rows, 0, 300).toArray();
            Tensor logits = decoder.feed(next);
            for (int i = 0; i < 12; i++) {
                assertClose(
                        "step " + i, ordinary(model, expectedCache, rows, next), Tensors.toFloats(logits), tolerance);
                next = decoder.argmax(1)[0];
                logits = decoder.feedArgmax();
            }
            assertArrayEquals(next, decoder.argmax(2)[0]);
        }
    }

    /**
     * Two ways in bfloat16 round at different places, so neither is the measure of the other: both are held against float32
     * on the CPU with the same weights.
     */
    @ParameterizedTest
    @CsvSource({
        "QWEN2, false, false, 1",
        "LLAMA, true, false, 1",
        "QWEN2, true, true, 1",
        "LLAMA, true, false, 5",
        "LLAMA, true, false, 8",
        "LLAMA, true, true, 1",
        "QWEN2, true, true, 3",
        "LLAMA, true, true, 8",
        "QWEN2, false, true, 3",
        "LLAMA, false, true, 8",
        "QWEN3, true, true, 1",
        "GEMMA, true, false, 2",
        "GEMMA2, true, true, 1",
        "GEMMA2, false, false, 3",
        "GEMMA3, true, true, 1",
        "GEMMA3, false, false, 4",
        "PHI3, true, true, 1",
        "PHI3, false, false, 8",
        "MISTRAL, true, true, 1",
        "DYNAMIC, true, false, 2"
    })
    void bfloat16IsAsNearToFloat32AsTheOrdinaryPass(
            RandomWeights.Family family, boolean fourBit, boolean adapted, int rows) {
        LinearFactory factory = fourBit ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        try (CausalLM base = model(family, fourBit, Precision.BF16);
                PeftAdapter adapter = adapter(base);
                CausalLM exactBase =
                        RandomWeights.model(folder.resolve("exact"), family, factory, Placement.cpuFp32());
                PeftAdapter exactAdapter = adapter(exactBase)) {
            CausalLM model = adapted ? adapter.attachTo(base) : base;
            CausalLM exact = adapted ? exactAdapter.attachTo(exactBase) : exactBase;
            try (KvCache exactCache = exact.newCache();
                    KvCache ordinaryCache = model.newCache();
                    KvCache cache = model.newCache();
                    CudaGraphDecoder decoder = new CudaGraphDecoder(model, cache, rows)) {
                SplittableRandom random = new SplittableRandom(2);
                long[] ids = random.longs(rows * 7L, 0, 300).toArray();
                ordinary(exact, exactCache, rows, ids);
                ordinary(model, ordinaryCache, rows, ids);
                ordinary(model, cache, rows, ids);
                double ofOrdinary = 0;
                double ofRecorded = 0;
                if (decoder.maxPiece() > 0) {
                    int[] piece = random.ints(21, 0, 300).toArray();
                    float[] expected = ordinary(exact, exactCache, 1, wide(piece));
                    ofOrdinary += squaredDistance(expected, ordinary(model, ordinaryCache, 1, wide(piece)));
                    ofRecorded += squaredDistance(expected, Tensors.toFloats(decoder.feedPiece(piece)));
                }
                for (int i = 0; i < 32; i++) {
                    followLength(exact, rows, ids, exactCache);
                    followLength(model, rows, ids, ordinaryCache, cache);
                    long[] next = random.longs(rows, 0, 300).toArray();
                    ids = append(rows, ids, next);
                    float[] expected = ordinary(exact, exactCache, rows, next);
                    ofOrdinary += squaredDistance(expected, ordinary(model, ordinaryCache, rows, next));
                    ofRecorded += squaredDistance(expected, Tensors.toFloats(decoder.feed(next)));
                }
                double ratio = Math.sqrt(ofRecorded / ofOrdinary);
                assertTrue(ratio <= 1.5, "the error is " + ratio + " times that of the ordinary pass");
            }
        }
    }

    /** The kernels add no bias of a norm, so such a model has no steps here, and says why. */
    @ParameterizedTest
    @EnumSource(
            value = RandomWeights.Family.class,
            names = {"STABLELM", "STABLELM_PARALLEL", "STARCODER2"})
    void normsWithBiasesAreForTheOrdinaryPass(RandomWeights.Family family) {
        try (CausalLM model = model(family, false, Precision.FP32)) {
            assertEquals(
                    "a norm has a bias, which the kernels of the GPU do not add (model.layers.0.input_layernorm)",
                    CudaGraphDecoder.unsupportedReason(model).orElse(""));
        }
    }

    @Test
    void followsTruncationAndGrowthOfTheCache() {
        try (CausalLM model = model(true, true, Precision.FP32);
                KvCache expectedCache = model.newCache();
                KvCache cache = model.newCache();
                CudaGraphDecoder decoder = new CudaGraphDecoder(model, cache, 1)) {
            long[] ids = new SplittableRandom(4).longs(600, 0, 300).toArray();
            for (int i = 0; i < 300; i++) {
                decoder.feed(ids[i]);
            }
            float[] expected = ordinary(model, expectedCache, 1, Arrays.copyOf(ids, 301));
            assertClose("behind a growth", expected, Tensors.toFloats(decoder.feed(ids[300])), 1e-4);
            cache.truncate(40);
            assertThrows(IllegalStateException.class, decoder::feedArgmax);
            expectedCache.truncate(40);
            expected = ordinary(model, expectedCache, 1, 9);
            assertClose("behind a cut", expected, Tensors.toFloats(decoder.feed(9)), 1e-4);
            // The ordinary pass moves the buffers.
            ordinary(model, cache, 1, ids);
            ordinary(model, expectedCache, 1, ids);
            expected = ordinary(model, expectedCache, 1, 11);
            assertClose("behind a long piece", expected, Tensors.toFloats(decoder.feed(11)), 1e-4);
        }
    }

    /** The GPU begins with the step after the token that it has chosen; whoever goes on otherwise must not notice. */
    @Test
    void stepsAheadCountOnlyIfTheirTokenIsFed() {
        try (CausalLM model = model(RandomWeights.Family.QWEN3, true, Precision.FP32);
                KvCache expectedCache = model.newCache();
                KvCache cache = model.newCache();
                CudaGraphDecoder decoder = new CudaGraphDecoder(model, cache, 1)) {
            SplittableRandom random = new SplittableRandom(8);
            long next = 5;
            for (int i = 0; i < 400; i++) {
                String what = "step " + i;
                float[] expected = ordinary(model, expectedCache, 1, next);
                long chosen = decoder.argmaxAfter(next).orElseThrow();
                assertEquals(argmax(expected), chosen, what);
                assertEquals(expectedCache.length(), cache.length(), what);
                next = chosen;
                switch (random.nextInt(12)) {
                    case 0 -> next = random.nextInt(300);
                    case 1 -> {
                        long length = random.nextLong(cache.length());
                        cache.truncate(length);
                        expectedCache.truncate(length);
                    }
                    case 2 -> {
                        ordinary(model, expectedCache, 1, 7, 8, 9);
                        ordinary(model, cache, 1, 7, 8, 9);
                    }
                    case 3 -> {
                        assertClose(
                                what,
                                ordinary(model, expectedCache, 1, next),
                                Tensors.toFloats(decoder.feed(next)),
                                1e-4);
                        decoder.feedArgmax();
                        ordinary(model, expectedCache, 1, decoder.argmax(2)[0]);
                        next = decoder.argmax(1)[0][0];
                    }
                    default -> {
                        // As a generation goes on.
                    }
                }
            }
        }
    }

    @Test
    void whatAnEndedTextHasCapturedServesTheNext() {
        CudaGraphDecoder last = null;
        try (CausalLM model = model(RandomWeights.Family.GEMMA3, true, Precision.FP32)) {
            for (int turn = 0; turn < 4; turn++) {
                try (KvCache expectedCache = model.newCache();
                        KvCache cache = model.newCache();
                        KvCache otherCache = model.newCache()) {
                    CudaGraphDecoder decoder = CudaGraphDecoder.open(model, cache);
                    assertTrue(last == null || last == decoder, "turn " + turn);
                    // Beside it, a text has a decoder of its own.
                    CudaGraphDecoder other = CudaGraphDecoder.open(model, otherCache);
                    int[] prompt = new SplittableRandom(turn)
                            .ints(7 + 90L * turn, 0, 300)
                            .toArray();
                    float[] expected = ordinary(model, expectedCache, 1, wide(prompt));
                    for (int from = 0; from < prompt.length; from += 40) {
                        int[] piece = Arrays.copyOfRange(prompt, from, Math.min(prompt.length, from + 40));
                        other.feedPiece(piece);
                        float[] actual = Tensors.toFloats(decoder.feedPiece(piece));
                        if (from + 40 >= prompt.length) {
                            assertClose("turn " + turn, expected, actual, 1e-4);
                        }
                    }
                    int next = argmax(expected);
                    for (int i = 0; i < 20; i++) {
                        int chosen = decoder.argmaxAfter(next).orElseThrow();
                        assertEquals(chosen, other.argmaxAfter(next).orElseThrow(), "turn " + turn);
                        next = argmax(ordinary(model, expectedCache, 1, next));
                        assertEquals(next, chosen, "turn " + turn);
                    }
                    other.close();
                    decoder.release();
                    last = decoder;
                }
            }
        }
        CudaGraphDecoder closed = last;
        assertThrows(IllegalStateException.class, () -> closed.feed(1), "it is closed with its model");
    }

    @Test
    void generationHasTheTextOfTheOrdinaryPass() {
        try (CausalLM model = model(false, true, Precision.FP32);
                KvCache cache = model.newCache();
                InferenceSession text = InferenceSession.of(model)) {
            int[] prompt = Arrays.stream(PROMPT).mapToInt(id -> (int) id).toArray();
            TokenGenerator generator = new TokenGenerator(model, Set.of());
            GenerationSettings settings =
                    GenerationSettings.builder().maxNewTokens(64).build();
            int[] expected =
                    generator.generate(prompt, cache, settings, id -> {}).ids();
            assertArrayEquals(
                    expected,
                    generator.generate(prompt, text, settings, id -> {}).ids());
            text.truncate(3);
            assertArrayEquals(
                    expected,
                    generator.generate(prompt, text, settings, id -> {}).ids());
        }
    }

    @Test
    void closingFreesEverything() {
        try (CausalLM model = model(false, true, Precision.BF16)) {
            long before = 0;
            for (int turn = 0; turn < 4; turn++) {
                try (KvCache cache = model.newCache();
                        CudaGraphDecoder decoder = new CudaGraphDecoder(model, cache, 2)) {
                    for (int i = 0; i < 5; i++) {
                        decoder.feed(1, 2);
                    }
                    decoder.close();
                    assertThrows(IllegalStateException.class, () -> decoder.feed(1, 2));
                }
                long now = CudaMemory.of(GPU).allocated();
                // The first turn compiles and keeps what stays.
                assertTrue(turn == 0 || now <= before, "turn " + turn);
                before = now;
            }
        }
    }

    @Test
    void aClosedAdapterSaysSo() {
        try (CausalLM base = model(false, true, Precision.BF16);
                PeftAdapter adapter = adapter(base)) {
            CausalLM model = adapter.attachTo(base);
            try (KvCache cache = model.newCache();
                    CudaGraphDecoder decoder = new CudaGraphDecoder(model, cache, 1)) {
                decoder.feed(1);
                adapter.close();
                assertThrows(IllegalStateException.class, () -> decoder.feed(1));
            }
        }
    }

    /** A text begins with what an ended one has captured, and an adapter trained meanwhile. */
    @ParameterizedTest
    @CsvSource({"DORA, LLAMA, true", "DORA, QWEN2, false", "IA3, QWEN2, true"})
    void rescaledProductsAreThoseOfTheOrdinaryPass(
            DecoderCases.Rescaling kind, RandomWeights.Family family, boolean fourBit) {
        try (CausalLM base = model(family, fourBit, Precision.FP32);
                PeftAdapter adapter = kind.adapter(base)) {
            CausalLM model = adapter.attachTo(base);
            assertEquals("", CudaGraphDecoder.unsupportedReason(model).orElse(""));
            for (int text = 0; text < 3; text++) {
                DecoderCases.train(adapter);
                try (KvCache expectedCache = model.newCache();
                        KvCache cache = model.newCache()) {
                    ordinary(model, expectedCache, 1, PROMPT);
                    ordinary(model, cache, 1, PROMPT);
                    CudaGraphDecoder decoder = CudaGraphDecoder.open(model, cache);
                    for (long next : new SplittableRandom(text).longs(8, 0, 300).toArray()) {
                        assertClose(
                                "token " + next,
                                ordinary(model, expectedCache, 1, next),
                                Tensors.toFloats(decoder.feed(next)),
                                1e-4);
                    }
                    decoder.release();
                }
            }
        }
    }

    @Test
    void whatIsNotServedIsNamed() {
        try (CausalLM model = RandomWeights.model(folder, false, LinearFactory.dense(), Placement.cpuFp32());
                KvCache cache = model.newCache()) {
            assertEquals(
                    "the model is not on a CUDA GPU",
                    CudaGraphDecoder.unsupportedReason(model).orElseThrow());
            IllegalArgumentException refused =
                    assertThrows(IllegalArgumentException.class, () -> new CudaGraphDecoder(model, cache, 1));
            assertTrue(refused.getMessage().contains("use CausalLM.hidden"), refused.getMessage());
        }
    }

    @Test
    void theOrdinaryContinuationRemembersAndForgets() {
        try (CausalLM model = RandomWeights.model(folder, true, LinearFactory.dense(), Placement.cpuFp32());
                InferenceSession text = InferenceSession.of(model)) {
            float[] first = text.feed(new int[] {4, 5, 6});
            float[] second = text.feed(new int[] {7});
            assertEquals(4, text.length());
            text.truncate(2);
            assertClose("again", first, text.feed(new int[] {6}), 1e-5);
            assertClose("again", second, text.feed(new int[] {7}), 1e-5);
            text.close();
            assertThrows(IllegalStateException.class, () -> text.feed(new int[] {1}));
        }
    }
}
