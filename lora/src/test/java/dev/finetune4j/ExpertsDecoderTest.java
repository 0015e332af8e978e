package dev.finetune4j;

import static dev.finetune4j.DecoderCases.PROMPT;
import static dev.finetune4j.DecoderCases.ordinary;
import static dev.finetune4j.DecoderCases.squaredDistance;
import static dev.finetune4j.testsupport.TensorData.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.decode.BatchDecoder;
import dev.finetune4j.core.decode.CpuDecoder;
import dev.finetune4j.core.decode.CudaGraphDecoder;
import dev.finetune4j.core.decode.TokenDecoder;
import dev.finetune4j.core.kernel.DecodeRow;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.RandomWeights;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Steps of models with experts, of all forms of weights and adapters, against the ordinary pass; on the device of the tests. */
class ExpertsDecoderTest {
    /** What an adapter changes. */
    private enum Adapted {
        NOTHING,
        /** The linears besides the experts. */
        OTHERS,
        /** All experts of a layer together, and the linears besides. */
        STACKS,
        /** Each expert's own linears. */
        SINGLE;

        PeftAdapter adapter(CausalLM base) {
            return switch (this) {
                case NOTHING, OTHERS -> DecoderCases.adapter(base);
                case STACKS -> DecoderCases.ofExperts(base);
                case SINGLE -> DecoderCases.ofSingleExperts(base);
            };
        }
    }

    @TempDir
    Path folder;

    @BeforeEach
    void needsKernels() {
        if (onCpu()) {
            Needs.cpuKernels();
        }
    }

    private static boolean onCpu() {
        return Fixtures.device().equals(ComputeDevice.cpu());
    }

    private CausalLM model(String name, RandomWeights.Family family, boolean fourBit, Placement placement) {
        LinearFactory factory = fourBit ? new QuantizedLinearFactory(QuantSettings.nf4()) : LinearFactory.dense();
        return RandomWeights.model(folder.resolve(name), family, factory, placement);
    }

    private CausalLM model(RandomWeights.Family family, boolean fourBit, Precision precision) {
        return model("model", family, fourBit, new Placement(Fixtures.device(), precision));
    }

    private static TokenDecoder decoder(CausalLM model, KvCache cache) {
        return onCpu() ? new CpuDecoder(model, cache) : CudaGraphDecoder.open(model, cache);
    }

    private static String reason(CausalLM model) {
        return (onCpu() ? CpuDecoder.unsupportedReason(model) : CudaGraphDecoder.unsupportedReason(model)).orElse("");
    }

    @ParameterizedTest
    @CsvSource({
        "QWEN3_MOE, true, NOTHING",
        "QWEN3_MOE, false, NOTHING",
        "QWEN3_MOE, true, OTHERS",
        "QWEN3_MOE, true, STACKS",
        "QWEN3_MOE, false, STACKS",
        "QWEN2_MOE, true, NOTHING",
        "QWEN2_MOE, false, OTHERS",
        "QWEN2_MOE, true, STACKS",
        "QWEN2_MOE, false, STACKS",
        "QWEN3_MOE, true, SINGLE",
        "QWEN2_MOE, false, SINGLE"
    })
    void haveTheLogitsOfTheOrdinaryPass(RandomWeights.Family family, boolean fourBit, Adapted adapted) {
        try (CausalLM base = model(family, fourBit, Precision.FP32);
                PeftAdapter adapter = adapted.adapter(base)) {
            CausalLM model = adapted == Adapted.NOTHING ? base : adapter.attachTo(base);
            assertEquals("", reason(model));
            try (KvCache baseCache = base.newCache();
                    KvCache expectedCache = model.newCache();
                    KvCache cache = model.newCache();
                    TokenDecoder decoder = decoder(model, cache)) {
                float[] plain = ordinary(base, baseCache, 1, PROMPT);
                float[] prompt = ordinary(model, expectedCache, 1, PROMPT);
                assertTrue(
                        adapted == Adapted.NOTHING || squaredDistance(plain, prompt) > 1e-2,
                        "the adapter changes something");
                ordinary(model, cache, 1, PROMPT);
                SplittableRandom random = new SplittableRandom(5);
                for (long next : random.longs(40, 0, 300).toArray()) {
                    assertClose(
                            "token " + next,
                            ordinary(model, expectedCache, 1, next),
                            Tensors.toFloats(decoder.feed(next)),
                            1e-4);
                }
                for (int length = 3; length <= decoder.maxPiece(); length += 11) {
                    int[] piece = random.ints(length, 0, 300).toArray();
                    long[] ids = Arrays.stream(piece).asLongStream().toArray();
                    assertClose(
                            "piece of " + length,
                            ordinary(model, expectedCache, 1, ids),
                            Tensors.toFloats(decoder.feedPiece(piece)),
                            1e-4);
                }
            }
        }
    }

    /**
     * Two ways in bfloat16 round at different places and may choose other experts at a near tie, so both are held against float32
     * with the same weights, by the median of the steps.
     */
    @ParameterizedTest
    @CsvSource({
        "QWEN3_MOE, true, NOTHING",
        "QWEN3_MOE, false, NOTHING",
        "QWEN3_MOE, true, STACKS",
        "QWEN3_MOE, false, STACKS",
        "QWEN2_MOE, true, STACKS",
        "QWEN2_MOE, true, SINGLE",
        "QWEN2_MOE, false, NOTHING"
    })
    void areAsNearToFloat32AsTheOrdinaryPass(RandomWeights.Family family, boolean fourBit, Adapted adapted) {
        try (CausalLM base = model(family, fourBit, Precision.BF16);
                PeftAdapter adapter = adapted.adapter(base);
                CausalLM exactBase = model("exact", family, fourBit, Placement.cpuFp32());
                PeftAdapter exactAdapter = adapted.adapter(exactBase)) {
            CausalLM model = adapted == Adapted.NOTHING ? base : adapter.attachTo(base);
            CausalLM exact = adapted == Adapted.NOTHING ? exactBase : exactAdapter.attachTo(exactBase);
            assertEquals("", reason(model));
            try (KvCache exactCache = exact.newCache();
                    KvCache ordinaryCache = model.newCache();
                    KvCache cache = model.newCache();
                    TokenDecoder decoder = decoder(model, cache)) {
                ordinary(exact, exactCache, 1, PROMPT);
                ordinary(model, ordinaryCache, 1, PROMPT);
                ordinary(model, cache, 1, PROMPT);
                List<Double> ofOrdinary = new ArrayList<>();
                List<Double> ofSteps = new ArrayList<>();
                for (long next : new SplittableRandom(2).longs(41, 0, 300).toArray()) {
                    float[] expected = ordinary(exact, exactCache, 1, next);
                    ofOrdinary.add(squaredDistance(expected, ordinary(model, ordinaryCache, 1, next)));
                    ofSteps.add(squaredDistance(expected, Tensors.toFloats(decoder.feed(next))));
                }
                double ratio = Math.sqrt(median(ofSteps) / median(ofOrdinary));
                assertTrue(ratio <= 1.5, "the error is " + ratio + " times that of the ordinary pass");
            }
        }
    }

    private static double median(List<Double> values) {
        return values.stream().sorted().skip(values.size() / 2).findFirst().orElseThrow();
    }

    /** What was captured for one text serves the next, with an adapter trained meanwhile. */
    @ParameterizedTest
    @CsvSource({"QWEN3_MOE, true, STACKS", "QWEN2_MOE, false, STACKS", "QWEN3_MOE, false, SINGLE"})
    void followAnAdapterThatIsTrainedMeanwhile(RandomWeights.Family family, boolean fourBit, Adapted adapted) {
        try (CausalLM base = model(family, fourBit, Precision.FP32);
                PeftAdapter adapter = adapted.adapter(base)) {
            CausalLM model = adapter.attachTo(base);
            for (int text = 0; text < 3; text++) {
                DecoderCases.train(adapter);
                try (KvCache expectedCache = model.newCache();
                        KvCache cache = model.newCache()) {
                    TokenDecoder decoder = decoder(model, cache);
                    for (long next : new SplittableRandom(text).longs(8, 0, 300).toArray()) {
                        assertClose(
                                "text " + text + ", token " + next,
                                ordinary(model, expectedCache, 1, next),
                                Tensors.toFloats(decoder.feed(next)),
                                1e-4);
                    }
                    decoder.release();
                }
            }
        }
    }

    /** Rows of one model go together, those of adapters besides the experts too; an adapter of experts has steps of its own. */
    @ParameterizedTest
    @CsvSource({
        "QWEN3_MOE, true, 1",
        "QWEN3_MOE, true, 7",
        "QWEN3_MOE, false, 3",
        "QWEN3_MOE, true, 13",
        "QWEN2_MOE, true, 5",
        "QWEN2_MOE, false, 8",
        "QWEN2_MOE, true, 20"
    })
    void ofSeveralTextsAreThoseOfEachAlone(RandomWeights.Family family, boolean fourBit, int rows) {
        try (CausalLM base = model(family, fourBit, Precision.FP32);
                PeftAdapter first = DecoderCases.adapter(base, 1, 0.02);
                PeftAdapter second = DecoderCases.adapter(base, 2, 0.02);
                PeftAdapter stacks = DecoderCases.ofExperts(base);
                BatchDecoder decoder = new BatchDecoder(base, true)) {
            List<CausalLM> shared = List.of(base, first.attachTo(base), second.attachTo(base));
            CausalLM apart = stacks.attachTo(base);
            shared.forEach(model -> assertEquals(base, decoder.group(model).orElseThrow()));
            assertEquals(apart, decoder.group(apart).orElseThrow());
            steps(decoder, shared, rows);
            steps(decoder, List.of(apart), rows);
            steps(decoder, List.of(base), rows);
        }
    }

    private static void steps(BatchDecoder decoder, List<CausalLM> models, int rows) {
        Random random = new Random(rows);
        List<CausalLM> ofRows = new ArrayList<>();
        List<KvCache> caches = new ArrayList<>();
        List<KvCache> expectedCaches = new ArrayList<>();
        try {
            for (int row = 0; row < rows; row++) {
                CausalLM model = models.get(row % models.size());
                ofRows.add(model);
                caches.add(model.newCache());
                expectedCaches.add(model.newCache());
                reserve(model, caches.get(row));
                long[] prompt = random.longs(1 + random.nextInt(9), 0, 300).toArray();
                ordinary(model, caches.get(row), 1, prompt);
                ordinary(model, expectedCaches.get(row), 1, prompt);
            }
            for (int step = 0; step < 4; step++) {
                List<DecodeRow> fed = new ArrayList<>();
                for (KvCache cache : caches) {
                    fed.add(new DecodeRow(cache.positions(), random.nextInt(300), cache, 0));
                }
                decoder.feed(fed, ofRows, false);
                for (int row = 0; row < rows; row++) {
                    caches.get(row).advance(1);
                    assertClose(
                            "step " + step + ", row " + row,
                            ordinary(
                                    ofRows.get(row),
                                    expectedCaches.get(row),
                                    1,
                                    fed.get(row).token()),
                            decoder.logits(List.of(row)).get(0),
                            1e-4);
                }
            }
            decoder.settle();
        } finally {
            caches.forEach(KvCache::close);
            expectedCaches.forEach(KvCache::close);
        }
    }

    private static void reserve(CausalLM model, KvCache cache) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor like = Tensors.empty(
                    Fixtures.device(),
                    Tensors.typeOf(model.placement().precision()),
                    1,
                    model.config().attention().kvHeads(),
                    0,
                    model.config().attention().headDim());
            cache.reserve(64, like);
        }
    }

    /** Weights that were read one by one are chosen from on the CPU; on a GPU the reason says what they are. */
    @Test
    void weightsThatLieApartAreDecodedWhereTheHostChooses() {
        LinearFactory factory = LinearFactory.dense();
        try (CausalLM model = RandomWeights.model(
                folder.resolve("model"),
                RandomWeights.Family.QWEN3_MOE,
                (spec, weights, placement) -> factory.create(spec, weights, placement),
                new Placement(Fixtures.device(), Precision.FP32))) {
            String reason = reason(model);
            assertEquals(onCpu(), reason.isEmpty(), reason);
            assertTrue(onCpu() || reason.contains("lie apart"), reason);
        }
    }
}
