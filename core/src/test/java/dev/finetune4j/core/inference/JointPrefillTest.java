package dev.finetune4j.core.inference;

import static dev.finetune4j.testsupport.TensorData.assertClose;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.FinishReason;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.testsupport.RandomWeights;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Several prompts in one pass against each alone. */
class JointPrefillTest {
    @TempDir
    Path folder;

    private CausalLM model(RandomWeights.Family family) {
        return RandomWeights.model(folder, family, LinearFactory.dense(), Placement.cpuFp32());
    }

    private static final class Ignored implements BatchedText.Listener {
        @Override
        public void token(int id, @Nullable Likelihoods likelihoods) {}

        @Override
        public void ended(FinishReason reason) {}

        @Override
        public void failed(RuntimeException cause) {}
    }

    private static BatchedText text(CausalLM model, PromptCache cache, int length) {
        BatchedText text = new BatchedText(
                model,
                new SplittableRandom(length).ints(length, 0, 300).toArray(),
                cache,
                8,
                new TokenChooser(GenerationSettings.greedy(), Set.of(), length, ChatRequest.NO_LOGPROBS, null),
                new Ignored());
        text.reserve();
        return text;
    }

    @ParameterizedTest
    @EnumSource(
            value = RandomWeights.Family.class,
            names = {"LLAMA", "QWEN3", "GEMMA2", "GEMMA3", "MISTRAL", "STABLELM", "STARCODER2"})
    void eachIsAsAlone(RandomWeights.Family family) {
        int[] lengths = {7, 1, 19, 12};
        List<KvCache> alone = new ArrayList<>();
        List<KvCache> together = new ArrayList<>();
        List<PromptCache> caches = new ArrayList<>();
        try (CausalLM model = model(family)) {
            List<int[]> prompts = new ArrayList<>();
            for (int length : lengths) {
                PromptCache cache = PromptCache.of(model);
                caches.add(cache);
                BatchedText text = text(model, cache, length);
                prompts.add(text.wholePrompt());
                together.add(text.memory());
                alone.add(model.newCache());
            }
            List<float[]> logits = new ArrayList<>();
            try (JointPrefill joint = JointPrefill.of(model, prompts);
                    KvCache closed = model.newCache()) {
                closed.close();
                assertThrows(IllegalStateException.class, () -> joint.giveTo(closed, 0), "fails for itself");
                for (int i = 0; i < lengths.length; i++) {
                    logits.add(joint.giveTo(together.get(i), i));
                }
            }
            for (int i = 0; i < lengths.length; i++) {
                assertClose(
                        "prompt " + i, ForwardSession.feed(model, alone.get(i), prompts.get(i)), logits.get(i), 1e-4);
                assertEquals(lengths[i], together.get(i).positions());
                for (int next : new int[] {5, 200}) {
                    float[] expected = ForwardSession.feed(model, alone.get(i), new int[] {next});
                    float[] actual = ForwardSession.feed(model, together.get(i), new int[] {next});
                    assertClose("behind prompt " + i, expected, actual, 1e-4);
                }
            }
            assertThrows(IllegalStateException.class, () -> alone.get(0).take(together.get(0), 0, 500));
        } finally {
            alone.forEach(KvCache::close);
            caches.forEach(PromptCache::close);
        }
    }

    /** Where a longer text turns all of its tokens by other angles, each is computed alone. */
    @Test
    void textsOfOtherAnglesStayAlone() {
        try (CausalLM model = model(RandomWeights.Family.PHI3);
                PromptCache one = PromptCache.of(model);
                PromptCache two = PromptCache.of(model)) {
            BatchedText first = text(model, one, 7);
            assertEquals(List.of(first), JointPrefill.choose(first, List.of(first, text(model, two, 19)), 1000));
        }
    }

    @Test
    void thoseThatFitAreChosen() {
        List<PromptCache> caches = new ArrayList<>();
        try (CausalLM model = model(RandomWeights.Family.LLAMA);
                CausalLM other = model.withActivations(model.activations())) {
            List<BatchedText> running = new ArrayList<>();
            int[] lengths = {10, 1, 30, 12, 9, 11};
            for (int i = 0; i < lengths.length; i++) {
                PromptCache cache = PromptCache.of(model);
                caches.add(cache);
                running.add(text(i == 4 ? other : model, cache, lengths[i]));
            }
            BatchedText first = running.get(0);
            assertEquals(List.of(first, running.get(3), running.get(5)), JointPrefill.choose(first, running, 3 * 12));
            assertEquals(List.of(first), JointPrefill.choose(first, running, 20));
            first.prefill(model, 4);
            assertEquals(List.of(first), JointPrefill.choose(first, running, 1000));
        } finally {
            caches.forEach(PromptCache::close);
        }
    }
}
