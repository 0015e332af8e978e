package dev.finetune4j.core.inference;

import static dev.finetune4j.testsupport.TensorData.assertClose;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.generate.BatchSettings;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.RandomWeights;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Texts that grow beyond the length at which the rotary frequencies change. The file {@code generated.safetensors} holds 26 tokens behind 12
 * and the logits of each, as transformers chose them: with LongRoPE (whose frequencies change for 21 positions) without its cache, since
 * releases of series 5 see only the last token where they drop it, and with dynamic frequencies (from 25 positions on) with it.
 */
class LongTextTest {
    private static final int PROMPT = 12;
    private static final int VOCABULARY = 64;
    private static final String LONG_ROPE = "phi3_longrope_long";

    @TempDir
    Path folder;

    private static CausalLM load(String name) {
        return ModelLoader.load(
                PretrainedFolder.open(TestData.resource("model/" + name)), LinearFactory.dense(), Placement.cpuFp32());
    }

    private CausalLM random(RandomWeights.Family family) {
        return RandomWeights.model(folder.resolve("model"), family, LinearFactory.dense(), Placement.cpuFp32());
    }

    /** What transformers has generated. */
    @SuppressWarnings("ArrayRecordComponent") // compared by nobody
    private record Golden(int[] ids, float[] logits) {
        static Golden of(String name) {
            try (SafetensorsFile file =
                    SafetensorsFile.open(TestData.resource("model/" + name + "/generated.safetensors"))) {
                int[] ids = Arrays.stream(TensorData.longs(file, "input_ids"))
                        .mapToInt(Math::toIntExact)
                        .toArray();
                return new Golden(ids, TensorData.floats(file, "logits"));
            }
        }

        int[] prompt() {
            return Arrays.copyOf(ids, PROMPT);
        }

        float[] logitsAfter(int tokens) {
            int step = tokens - PROMPT;
            return Arrays.copyOfRange(logits, step * VOCABULARY, (step + 1) * VOCABULARY);
        }
    }

    private static GenerationSettings settings(int tokens) {
        return GenerationSettings.builder().maxNewTokens(tokens).build();
    }

    private static int[] generated(CausalLM model, int[] prompt, InferenceSession text, int tokens) {
        return new TokenGenerator(model, Set.of())
                .generate(prompt, text, settings(tokens), id -> {})
                .ids();
    }

    /** Logits of all positions, (T, V), by one pass. */
    private static float[] atOnce(CausalLM model, int... ids) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor tokens = model.tokens(Arrays.stream(ids).asLongStream().toArray(), 1, ids.length);
            return Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(tokens))));
        }
    }

    private static float[] lastAtOnce(CausalLM model, int... ids) {
        float[] all = atOnce(model, ids);
        return Arrays.copyOfRange(all, all.length - model.config().vocabSize(), all.length);
    }

    /** Takes up the tokens up to a length, again where that is needed. */
    private static float[] fed(InferenceSession text, int[] ids, int length) {
        int from = Math.toIntExact(text.goesOnTo(length) ? text.length() : text.prepare(length));
        return text.feed(Arrays.copyOfRange(ids, from, length));
    }

    @ParameterizedTest
    @ValueSource(strings = {LONG_ROPE, "llama_v4_dynamic"})
    void eachTokenHasTheLogitsOfTransformers(String name) {
        Golden golden = Golden.of(name);
        try (CausalLM model = load(name);
                InferenceSession quick = InferenceSession.of(model);
                InferenceSession plain = new ForwardSession(model, model.newCache(), null)) {
            for (InferenceSession text : List.of(quick, plain)) {
                for (int length = PROMPT; length < golden.ids().length; length++) {
                    assertClose("after " + length, golden.logitsAfter(length), fed(text, golden.ids(), length), 1e-4);
                }
            }
        }
    }

    @Test
    void aTextIsGeneratedAsByTransformers() {
        Golden golden = Golden.of(LONG_ROPE);
        int[] expected = Arrays.copyOfRange(golden.ids(), PROMPT, golden.ids().length);
        try (CausalLM model = load(LONG_ROPE);
                InferenceSession text = InferenceSession.of(model);
                KvCache cache = model.newCache()) {
            assertArrayEquals(expected, generated(model, golden.prompt(), text, expected.length));
            assertArrayEquals(
                    expected,
                    new TokenGenerator(model, Set.of())
                            .generate(golden.prompt(), cache, settings(expected.length), id -> {})
                            .ids());
        }
    }

    @Test
    void nothingIsTakenUpBehindKeysOfOtherFrequencies() {
        Golden golden = Golden.of(LONG_ROPE);
        try (CausalLM model = load(LONG_ROPE);
                InferenceSession text = new ForwardSession(model, model.newCache(), null)) {
            text.feed(Arrays.copyOf(golden.ids(), 20));
            assertTrue(!text.goesOnTo(21) && text.goesOnTo(20));
            IllegalStateException refused = assertThrows(IllegalStateException.class, () -> text.feed(new int[] {3}));
            assertTrue(refused.getMessage().contains("20 positions"), refused.getMessage());
            assertEquals(20, text.length());
            assertEquals(0, text.prepare(21));
            text.feed(Arrays.copyOf(golden.ids(), 21));
            text.truncate(5);
            assertTrue(!text.goesOnTo(6), "the keys of the long text are still there");
            assertEquals(5, text.prepare(21));
            assertEquals(0, text.prepare(20));
        }
    }

    /** All frequencies are those of the whole prompt, also where a piece ends before they change. */
    @ParameterizedTest
    @ValueSource(strings = {LONG_ROPE, "llama_v4_dynamic", "internlm2_dynamic"})
    void aPromptInPiecesIsThePromptAtOnce(String name) {
        int[] ids = Golden.of(LONG_ROPE).ids();
        try (CausalLM model = load(name);
                InferenceSession quick = InferenceSession.of(model);
                InferenceSession plain = new ForwardSession(model, model.newCache(), null)) {
            for (int length : new int[] {20, 21, 24, 25, ids.length}) {
                float[] expected = lastAtOnce(model, Arrays.copyOf(ids, length));
                for (InferenceSession text : List.of(quick, plain)) {
                    for (int piece : new int[] {1, 7}) {
                        text.truncate(0);
                        text.prepare(length);
                        float[] actual = {};
                        for (int from = 0; from < length; from += piece) {
                            actual = text.feed(Arrays.copyOfRange(ids, from, Math.min(length, from + piece)));
                        }
                        assertClose("pieces of " + piece + " of " + length, expected, actual, 1e-5);
                    }
                }
            }
        }
    }

    @Test
    void aPrefixServesOnlyTextsOfItsFrequencies() {
        Golden golden = Golden.of(LONG_ROPE);
        int[] ids = golden.ids();
        try (CausalLM model = load(LONG_ROPE);
                PromptCache cache = PromptCache.of(model)) {
            generated(model, golden.prompt(), cache, 6);
            assertEquals(PROMPT + 5, cache.length());
            assertEquals(PROMPT + 5, cache.common(Arrays.copyOf(ids, 20)));
            assertEquals(0, cache.common(Arrays.copyOf(ids, 21)), "its keys are those of a short text");
            assertEquals(0, cache.reuse(Arrays.copyOf(ids, 30)));
            assertClose("behind", lastAtOnce(model, Arrays.copyOf(ids, 30)), cache.feed(Arrays.copyOf(ids, 30)), 1e-5);
            assertEquals(0, cache.common(golden.prompt()), "its keys are those of a long text");
            assertEquals(24, cache.common(Arrays.copyOf(ids, 25)));
            try (PromptCache copy = cache.copy(model, 24)) {
                assertEquals(0, copy.common(Arrays.copyOf(ids, 20)), "so are those of a copy");
                assertEquals(24, copy.reuse(Arrays.copyOf(ids, 25)));
                float[] next = copy.feed(new int[] {ids[24]});
                assertClose("behind a copy", lastAtOnce(model, Arrays.copyOf(ids, 25)), next, 1e-5);
            }
        }
    }

    @Test
    void ofDynamicFrequenciesAPrefixServesTextsOfItsLength() {
        int[] ids = Golden.of("llama_v4_dynamic").ids();
        try (CausalLM model = load("llama_v4_dynamic");
                PromptCache cache = PromptCache.of(model)) {
            cache.reuse(Arrays.copyOf(ids, 30));
            cache.feed(Arrays.copyOf(ids, 30));
            cache.feed(new int[] {ids[30]});
            assertEquals(29, cache.common(Arrays.copyOf(ids, 30)));
            assertEquals(0, cache.common(Arrays.copyOf(ids, 31)));
            assertEquals(0, cache.common(Arrays.copyOf(ids, 24)));
        }
    }

    @Test
    void keptPrefixesAreChosenByTheirFrequencies() {
        int[] ids = new SplittableRandom(3).ints(60, 0, 300).toArray();
        try (CausalLM model = random(RandomWeights.Family.PHI3);
                PrefixCaches kept = new PrefixCaches(1000)) {
            PromptCache one = kept.take(model, Arrays.copyOf(ids, 40));
            one.reuse(Arrays.copyOf(ids, 40));
            one.feed(Arrays.copyOf(ids, 40));
            kept.give(model, one);
            PromptCache other = kept.take(model, Arrays.copyOf(ids, 16));
            assertTrue(other != one, "of a short text");
            other.close();
            assertSame(one, kept.take(model, ids));
            one.close();
        }
    }

    /** Collects a text. */
    private static final class Collected implements BatchedText.Listener {
        private final List<Integer> ids = new ArrayList<>();
        private final CompletableFuture<List<Integer>> all = new CompletableFuture<>();

        @Override
        public void token(int id, @Nullable Likelihoods likelihoods) {
            ids.add(id);
        }

        @Override
        public void ended(FinishReason reason) {
            all.complete(ids);
        }

        @Override
        public void failed(RuntimeException cause) {
            all.completeExceptionally(cause);
        }
    }

    /** Texts cross the length at different steps, while others are far from it; prompts come in pieces that end before it. */
    @ParameterizedTest
    @ValueSource(ints = {16, 17, 512})
    void aBatchHasTheTextsOfEachAlone(int chunk) {
        int[] ids = new SplittableRandom(8).ints(60, 0, 300).toArray();
        Map<Integer, Collected> texts = new LinkedHashMap<>();
        List<PromptCache> caches = new ArrayList<>();
        try (CausalLM model = random(RandomWeights.Family.PHI3);
                Batcher batcher = new Batcher(
                        model, BatchSettings.builder().prefillChunk(chunk).build())) {
            for (int length : new int[] {1, 9, 13, 16, 17, 30, 45}) {
                Collected text = new Collected();
                texts.put(length, text);
                PromptCache cache = PromptCache.of(model);
                caches.add(cache);
                TokenChooser chooser = new TokenChooser(settings(20), Set.of(), length, ChatRequest.NO_LOGPROBS, null);
                batcher.submit(new BatchedText(model, Arrays.copyOf(ids, length), cache, 20, chooser, text));
            }
            texts.forEach((length, text) ->
                    assertEquals(greedily(model, Arrays.copyOf(ids, length), 20), text.all.join(), "behind " + length));
        } finally {
            caches.forEach(PromptCache::close);
        }
    }

    /** Without a cache. */
    private static List<Integer> greedily(CausalLM model, int[] prompt, int tokens) {
        int[] ids = Arrays.copyOf(prompt, prompt.length + tokens);
        List<Integer> chosen = new ArrayList<>();
        for (int length = prompt.length; length < ids.length; length++) {
            ids[length] = Sampler.argmax(lastAtOnce(model, Arrays.copyOf(ids, length)));
            chosen.add(ids[length]);
        }
        return chosen;
    }
}
