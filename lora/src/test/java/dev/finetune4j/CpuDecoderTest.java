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
import dev.finetune4j.core.decode.CpuDecoder;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.inference.InferenceSession;
import dev.finetune4j.core.inference.TokenGenerator;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.LnTuningSettings;
import dev.finetune4j.lora.adapter.ModuleSelection;
import dev.finetune4j.lora.adapter.PrefixSettings;
import dev.finetune4j.lora.adapter.PromptTuningSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.VeraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.RandomWeights;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Steps by the kernels of the CPU against the ordinary pass. */
class CpuDecoderTest {
    @TempDir
    Path folder;

    @BeforeEach
    void needsKernels() {
        Needs.cpuKernels();
    }

    private CausalLM model(String name, RandomWeights.Family family, boolean fourBit, Precision precision) {
        LinearFactory factory = fourBit ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        return RandomWeights.model(
                folder.resolve(name), family, factory, new Placement(ComputeDevice.cpu(), precision));
    }

    private CausalLM model(String name, boolean qwen, boolean fourBit, Precision precision) {
        return model(name, qwen ? RandomWeights.Family.QWEN2 : RandomWeights.Family.LLAMA, fourBit, precision);
    }

    @ParameterizedTest
    @CsvSource({
        "LLAMA, false, false",
        "QWEN2, true, false",
        "LLAMA, true, true",
        "QWEN2, false, true",
        "QWEN3, true, true",
        "GEMMA, true, false",
        "GEMMA2, false, true",
        "GEMMA3, true, true",
        "PHI3, true, true",
        "MISTRAL, true, false",
        "DYNAMIC, true, true",
        "SMOLLM3, true, true",
        "GRANITE, true, true",
        "GRANITE, false, false",
        "OLMO2, true, true",
        "OLMO2, false, false",
        "GLM4, true, true",
        "COHERE, true, true",
        "COHERE, false, false",
        "STABLELM, true, true",
        "STABLELM, false, false",
        "STABLELM_PARALLEL, false, true",
        "STARCODER2, true, true",
        "STARCODER2, false, false"
    })
    void hasTheLogitsOfTheOrdinaryPass(RandomWeights.Family family, boolean fourBit, boolean adapted) {
        try (CausalLM base = model("model", family, fourBit, Precision.FP32);
                PeftAdapter adapter = adapter(base)) {
            CausalLM model = adapted ? adapter.attachTo(base) : base;
            assertEquals("", CpuDecoder.unsupportedReason(model).orElse(""));
            try (KvCache expectedCache = model.newCache();
                    KvCache cache = model.newCache();
                    CpuDecoder decoder = new CpuDecoder(model, cache)) {
                ordinary(model, expectedCache, 1, PROMPT);
                ordinary(model, cache, 1, PROMPT);
                long[] ids = PROMPT;
                for (long next : new SplittableRandom(5).longs(40, 0, 300).toArray()) {
                    followLength(model, 1, ids, expectedCache, cache);
                    ids = append(1, ids, next);
                    assertClose(
                            "token " + next,
                            ordinary(model, expectedCache, 1, next),
                            Tensors.toFloats(decoder.feed(next)),
                            1e-4);
                }
                // The keys and values in the cache are those of the ordinary pass too.
                assertClose(
                        "behind", ordinary(model, expectedCache, 1, 5, 6, 7), ordinary(model, cache, 1, 5, 6, 7), 1e-4);
            }
        }
    }

    /** Two ways in bfloat16 round at different places, so both are held against float32 with the same weights. */
    @ParameterizedTest
    @CsvSource({
        "QWEN2, false, false",
        "LLAMA, true, false",
        "QWEN2, true, true",
        "QWEN3, false, true",
        "GEMMA, false, false",
        "GEMMA2, true, false",
        "GEMMA3, true, true",
        "PHI3, false, false",
        "GRANITE, true, false",
        "OLMO2, true, false",
        "COHERE, true, true",
        "STABLELM, false, true",
        "STARCODER2, true, false"
    })
    void bfloat16IsAsNearToFloat32AsTheOrdinaryPass(RandomWeights.Family family, boolean fourBit, boolean adapted) {
        try (CausalLM base = model("bf16", family, fourBit, Precision.BF16);
                PeftAdapter adapter = adapter(base);
                CausalLM exactBase = model("fp32", family, fourBit, Precision.FP32);
                PeftAdapter exactAdapter = adapter(exactBase)) {
            CausalLM model = adapted ? adapter.attachTo(base) : base;
            CausalLM exact = adapted ? exactAdapter.attachTo(exactBase) : exactBase;
            try (KvCache exactCache = exact.newCache();
                    KvCache ordinaryCache = model.newCache();
                    KvCache cache = model.newCache();
                    CpuDecoder decoder = new CpuDecoder(model, cache)) {
                ordinary(exact, exactCache, 1, PROMPT);
                ordinary(model, ordinaryCache, 1, PROMPT);
                ordinary(model, cache, 1, PROMPT);
                double ofOrdinary = 0;
                double ofSteps = 0;
                long[] ids = PROMPT;
                for (long next : new SplittableRandom(2).longs(32, 0, 300).toArray()) {
                    followLength(exact, 1, ids, exactCache);
                    followLength(model, 1, ids, ordinaryCache, cache);
                    ids = append(1, ids, next);
                    float[] expected = ordinary(exact, exactCache, 1, next);
                    ofOrdinary += squaredDistance(expected, ordinary(model, ordinaryCache, 1, next));
                    ofSteps += squaredDistance(expected, Tensors.toFloats(decoder.feed(next)));
                }
                double ratio = Math.sqrt(ofSteps / ofOrdinary);
                assertTrue(ratio <= 1.5, "the error is " + ratio + " times that of the ordinary pass");
            }
        }
    }

    /** Norms of single heads are one tensor for a step; copies that are trained lie elsewhere, and the ordinary pass takes them. */
    @Test
    void trainedNormsOfSingleHeadsAreNotForSteps() {
        LnTuningSettings norms = new LnTuningSettings(
                ModuleSelection.of(TargetModules.matching(".*layernorm\\.norms\\.\\d+")), List.of());
        try (CausalLM base = model("model", RandomWeights.Family.STABLELM, false, Precision.FP32);
                PeftAdapter adapter = AdapterKinds.create(base, norms, InitSources.seed(1))) {
            String reason = CpuDecoder.unsupportedReason(adapter.attachTo(base)).orElse("");
            assertTrue(reason.contains("the norms of its heads lie apart"), reason);
            assertEquals("", CpuDecoder.unsupportedReason(base).orElse(""));
        }
    }

    @Test
    void followsTruncationAndGrowthOfTheCache() {
        try (CausalLM model = model("model", true, true, Precision.FP32);
                KvCache expectedCache = model.newCache();
                KvCache cache = model.newCache();
                CpuDecoder decoder = new CpuDecoder(model, cache)) {
            long[] ids = new SplittableRandom(4).longs(600, 0, 300).toArray();
            for (int i = 0; i < 300; i++) {
                decoder.feed(ids[i]);
            }
            float[] expected = ordinary(model, expectedCache, 1, Arrays.copyOf(ids, 301));
            assertClose("behind a growth", expected, Tensors.toFloats(decoder.feed(ids[300])), 1e-4);
            cache.truncate(40);
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

    @Test
    void generationHasTheTextOfTheOrdinaryPass() {
        try (CausalLM model = model("model", false, true, Precision.FP32);
                KvCache cache = model.newCache();
                InferenceSession text = InferenceSession.of(model)) {
            assertEquals("DecoderSession", text.getClass().getSimpleName());
            int[] prompt = Arrays.stream(PROMPT).mapToInt(id -> (int) id).toArray();
            TokenGenerator generator = new TokenGenerator(model, Set.of());
            GenerationSettings settings =
                    GenerationSettings.builder().maxNewTokens(64).build();
            int[] expected =
                    generator.generate(prompt, cache, settings, id -> {}).ids();
            assertArrayEquals(
                    expected,
                    generator.generate(prompt, text, settings, id -> {}).ids());
        }
    }

    @Test
    void stepsLeaveMemoryFlat() {
        try (CausalLM model = model("model", false, true, Precision.BF16);
                KvCache cache = model.newCache();
                CpuDecoder decoder = new CpuDecoder(model, cache)) {
            long grown = Long.MAX_VALUE;
            // The JVM itself takes memory until its compilers are through, at any time: a leak grows in every round.
            for (int round = 0; round < 6 && grown >= 8 << 20; round++) {
                long before = TorchRuntime.residentBytes();
                for (int turn = 0; turn < 6; turn++) {
                    for (int i = 0; i < 400; i++) {
                        decoder.feed(i % 300);
                    }
                    cache.truncate(0);
                }
                grown = TorchRuntime.residentBytes() - before;
            }
            assertTrue(grown < 8 << 20, "2,400 steps have grown by " + grown + " bytes each time");
        }
    }

    @Test
    void closedPartsSaySo() {
        try (CausalLM base = model("model", false, true, Precision.BF16);
                PeftAdapter adapter = adapter(base)) {
            CausalLM model = adapter.attachTo(base);
            try (KvCache cache = model.newCache();
                    CpuDecoder decoder = new CpuDecoder(model, cache)) {
                decoder.feed(1);
                assertThrows(IllegalArgumentException.class, () -> decoder.feed(-1));
                assertThrows(IllegalArgumentException.class, () -> decoder.feed(1, 2));
                assertThrows(IllegalArgumentException.class, () -> decoder.feed(1 << 20));
                adapter.close();
                assertThrows(IllegalStateException.class, () -> decoder.feed(1));
                decoder.close();
                assertThrows(IllegalStateException.class, () -> decoder.feed(1));
            }
        }
    }

    @Test
    void virtualTokensStandInTheCache() {
        for (AdapterSettings settings : List.of(PromptTuningSettings.random(3), new PrefixSettings(4, 0, false))) {
            try (CausalLM base = model("model", RandomWeights.Family.MISTRAL, true, Precision.FP32);
                    PeftAdapter prompt = AdapterKinds.create(base, settings, InitSources.seed(1))) {
                CausalLM model = prompt.attachTo(base);
                try (KvCache expectedCache = model.newCache();
                        KvCache cache = model.newCache();
                        CpuDecoder decoder = new CpuDecoder(model, cache)) {
                    for (long next : PROMPT) {
                        assertClose(
                                settings + ", token " + next,
                                ordinary(model, expectedCache, 1, next),
                                Tensors.toFloats(decoder.feed(next)),
                                1e-4);
                    }
                }
            }
        }
    }

    /** With a trained prompt in front, whose keys are turned as those of tokens, and with a trained prefix, whose keys are not. */
    @Test
    void virtualTokensAreTurnedAnewWithTheTextThatOutgrowsItsFrequencies() {
        for (AdapterSettings settings : List.of(PromptTuningSettings.random(3), new PrefixSettings(4, 0, false))) {
            try (CausalLM base = model("model", RandomWeights.Family.PHI3, true, Precision.FP32);
                    PeftAdapter prompt = AdapterKinds.create(base, settings, InitSources.seed(1))) {
                CausalLM model = prompt.attachTo(base);
                try (KvCache cache = model.newCache();
                        InferenceSession text = InferenceSession.of(model)) {
                    int virtual = (int) cache.virtual();
                    long[] ids = PROMPT;
                    for (long next : new SplittableRandom(5).longs(16, 0, 300).toArray()) {
                        ids = append(1, ids, next);
                        if (!text.goesOnTo(ids.length)) {
                            assertEquals(16 + 1, virtual + ids.length);
                            assertEquals(0, text.prepare(ids.length));
                        }
                        int[] more = Arrays.stream(ids)
                                .skip(text.length())
                                .mapToInt(id -> (int) id)
                                .toArray();
                        assertClose(settings + ", " + ids.length, atOnce(model, ids), text.feed(more), 1e-4);
                    }
                    assertEquals(0, text.prepare(10));
                    int[] shorter = Arrays.stream(ids)
                            .limit(10)
                            .mapToInt(id -> (int) id)
                            .toArray();
                    assertClose("a short text", atOnce(model, Arrays.copyOf(ids, 10)), text.feed(shorter), 1e-4);
                }
            }
        }
    }

    /** Without a cache. */
    private static float[] atOnce(CausalLM model, long... ids) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor hidden = model.hidden(ModelInput.padded(model.tokens(ids, 1, ids.length)));
            return Tensors.toFloats(model.logits(hidden.narrow(1, ids.length - 1L, 1)));
        }
    }

    /** DoRA stretches the rows of weights, (IA)³ rescales outputs and inputs. */
    @ParameterizedTest
    @CsvSource({
        "DORA, LLAMA, true",
        "DORA, QWEN2, false",
        "IA3, QWEN2, true",
        "IA3, PHI3, false",
        "DORA, STARCODER2, true",
        "IA3, STARCODER2, false"
    })
    void rescaledProductsAreThoseOfTheOrdinaryPass(
            DecoderCases.Rescaling kind, RandomWeights.Family family, boolean fourBit) {
        try (CausalLM base = model("model", family, fourBit, Precision.FP32);
                PeftAdapter adapter = kind.adapter(base)) {
            CausalLM model = adapter.attachTo(base);
            assertEquals("", CpuDecoder.unsupportedReason(model).orElse(""));
            try (KvCache expectedCache = model.newCache();
                    KvCache cache = model.newCache();
                    CpuDecoder decoder = new CpuDecoder(model, cache)) {
                float[] plain = ordinary(base, expectedCache, 1, PROMPT);
                expectedCache.truncate(0);
                float[] prompt = ordinary(model, expectedCache, 1, PROMPT);
                assertTrue(squaredDistance(plain, prompt) > 1e-2, "the adapter changes something");
                ordinary(model, cache, 1, PROMPT);
                long[] ids = PROMPT;
                for (long next : new SplittableRandom(5).longs(12, 0, 300).toArray()) {
                    if (next % 3 == 0) {
                        DecoderCases.train(adapter);
                    }
                    followLength(model, 1, ids, expectedCache, cache);
                    ids = append(1, ids, next);
                    assertClose(
                            "token " + next,
                            ordinary(model, expectedCache, 1, next),
                            Tensors.toFloats(decoder.feed(next)),
                            1e-4);
                }
            }
        }
    }

    @Test
    void whatIsNotDecodedSaysWhy() {
        VeraSettings vera = VeraSettings.builder().rank(8).build();
        try (CausalLM base = model("model", false, true, Precision.BF16);
                PeftAdapter adapter = AdapterKinds.create(base, vera, InitSources.seed(1))) {
            CausalLM model = adapter.attachTo(base);
            String reason = CpuDecoder.unsupportedReason(model).orElseThrow();
            assertTrue(reason.contains("no common GEMV kernel"), reason);
            try (KvCache cache = model.newCache();
                    InferenceSession session = InferenceSession.of(model);
                    InferenceSession decoded = InferenceSession.of(base)) {
                IllegalArgumentException refused =
                        assertThrows(IllegalArgumentException.class, () -> new CpuDecoder(model, cache));
                assertTrue(refused.getMessage().contains("use CausalLM.hidden"), refused.getMessage());
                assertEquals(reason, session.undecodedReason().orElseThrow());
                assertEquals(Optional.empty(), decoded.undecodedReason());
            }
        }
    }
}
