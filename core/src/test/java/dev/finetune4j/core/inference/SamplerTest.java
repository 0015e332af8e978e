package dev.finetune4j.core.inference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.BiConsumer;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SamplerTest {
    @Test
    void eachRuleGivesTheLogitsOfTransformers() {
        try (SafetensorsFile golden = SafetensorsFile.open(TestData.resource("generate/sampling.safetensors"))) {
            check(golden, "temperature_0.7", (logits, history) -> Sampler.divide(logits, 0.7));
            check(golden, "top_k_5", (logits, history) -> Sampler.keepTopK(logits, 5));
            check(golden, "top_p_0.8", (logits, history) -> Sampler.keepTopP(logits, 0.8));
            check(golden, "min_p_0.1", (logits, history) -> Sampler.keepMinP(logits, 0.1));
            check(
                    golden,
                    "repetition_1.3",
                    (logits, history) -> Sampler.penalizeRepetition(logits, history, history.length, 1.3));
        }
    }

    @Test
    void topKKeepsWhatASortWould() {
        SplittableRandom random = new SplittableRandom(3);
        for (int k : new int[] {1, 2, 7, 50, 299}) {
            float[] logits = new float[300];
            for (int i = 0; i < logits.length; i++) {
                logits[i] = random.nextInt(-60, 60) / 4f; // with equal ones
            }
            float[] sorted = logits.clone();
            Arrays.sort(sorted);
            float[] expected = logits.clone();
            for (int i = 0; i < expected.length; i++) {
                expected[i] = logits[i] < sorted[sorted.length - k] ? Float.NEGATIVE_INFINITY : logits[i];
            }
            Sampler.keepTopK(logits, k);
            assertArrayEquals(expected, logits, "top " + k);
        }
    }

    private static void check(SafetensorsFile golden, String name, BiConsumer<float[], int[]> rule) {
        compare(name, golden, "logits", "history", name, rule);
    }

    @Test
    void rulesTogetherGiveTheLogitsOfTransformers(TestReporter reporter) throws IOException {
        try (SafetensorsFile golden = SafetensorsFile.open(TestData.resource("generate/combined.safetensors"))) {
            JsonNode cases = new ObjectMapper().readTree(golden.metadata().get("settings"));
            for (int i = 0; i < cases.size(); i++) {
                Sampler sampler = new Sampler(settings(cases.get(i)));
                compare(
                        cases.get(i).toString(),
                        golden,
                        i + "/logits",
                        i + "/history",
                        i + "/expected",
                        (logits, history) -> {
                            sampler.processLogits(logits, history, history.length);
                            sampler.warp(logits);
                        });
            }
            reporter.publishEntry("combinations of rules compared", Integer.toString(cases.size()));
            assertTrue(cases.size() >= 15);
        }
    }

    private static GenerationSettings settings(JsonNode given) {
        return GenerationSettings.builder()
                .temperature(given.path("temperature").asDouble(1))
                .topK(given.path("top_k").asInt(0))
                .topP(given.path("top_p").asDouble(1))
                .minP(given.path("min_p").asDouble(0))
                .repetitionPenalty(given.path("repetition_penalty").asDouble(1))
                .noRepeatNgramSize(given.path("no_repeat_ngram_size").asInt(0))
                .build();
    }

    private static void compare(
            String what,
            SafetensorsFile golden,
            String inputName,
            String historyName,
            String expectedName,
            BiConsumer<float[], int[]> rule) {
        float[] input = TensorData.floats(golden, inputName);
        float[] expected = TensorData.floats(golden, expectedName);
        int[] histories = ints(golden, historyName);
        long[] shape = golden.info(inputName).shape();
        int rows = Math.toIntExact(shape[0]);
        int vocabulary = Math.toIntExact(shape[1]);
        int length = histories.length / rows;
        for (int row = 0; row < rows; row++) {
            float[] logits = Arrays.copyOfRange(input, row * vocabulary, (row + 1) * vocabulary);
            rule.accept(logits, Arrays.copyOfRange(histories, row * length, (row + 1) * length));
            for (int i = 0; i < vocabulary; i++) {
                assertEquals(expected[row * vocabulary + i], logits[i], 1e-5, what + " row " + row + " token " + i);
            }
        }
    }

    private static int[] ints(SafetensorsFile file, String name) {
        try (Tensor tensor = file.read(name)) {
            return Arrays.stream(Tensors.toLongs(tensor))
                    .mapToInt(Math::toIntExact)
                    .toArray();
        }
    }

    @Test
    void drawsEveryTokenAsOftenAsItsProbabilityAndRepeatsWithTheSeed() {
        float[] logits = {(float) Math.log(0.5), (float) Math.log(0.3), (float) Math.log(0.2), Float.NEGATIVE_INFINITY};
        GenerationSettings settings =
                GenerationSettings.builder().temperature(1).seed(5).build();
        Sampler first = new Sampler(settings);
        Sampler second = new Sampler(settings);
        int[] counts = new int[4];
        for (int i = 0; i < 20_000; i++) {
            int id = first.next(logits.clone(), new int[0], 0);
            assertEquals(id, second.next(logits.clone(), new int[0], 0));
            counts[id]++;
        }
        assertEquals(0.5, counts[0] / 20_000.0, 0.02);
        assertEquals(0.3, counts[1] / 20_000.0, 0.02);
        assertEquals(0.2, counts[2] / 20_000.0, 0.02);
        assertEquals(0, counts[3]);
    }

    @Test
    void greedyTakesTheFirstOfTheLikeliest() {
        Sampler sampler = new Sampler(GenerationSettings.greedy());
        assertEquals(1, sampler.next(new float[] {0, 3, 3, 1}, new int[0], 0));
    }

    @Test
    void countsAreSubtractedOnceForPresenceAndEachTimeForFrequency() {
        float[] logits = {1, 2, 3, -4};
        Sampler sampler = new Sampler(GenerationSettings.builder()
                .presencePenalty(0.5)
                .frequencyPenalty(0.25)
                .build());
        sampler.processLogits(logits, new int[] {1, 3, 3, 9, 0}, 4);
        assertArrayEquals(new float[] {1, 1.25f, 3, -5}, logits);
    }

    @Test
    void greedyFollowsTheRulesAboutRepetition() {
        int[] history = {2, 1, 0, 2};
        float[] logits = {0, 5, 4};
        assertEquals(1, new Sampler(GenerationSettings.greedy()).next(logits.clone(), history, 4));
        GenerationSettings settings =
                GenerationSettings.builder().noRepeatNgramSize(2).build();
        assertEquals(2, new Sampler(settings).next(logits.clone(), history, 4), "2 1 may not come again");
    }

    @Test
    void aVocabularyForbiddenAsAWholeIsAnError() {
        Sampler sampler =
                new Sampler(GenerationSettings.builder().noRepeatNgramSize(1).build());
        String message = assertThrows(
                        FineTune4jException.class, () -> sampler.next(new float[] {1, 2}, new int[] {0, 1}, 2))
                .getMessage();
        assertTrue(message.contains("noRepeatNgramSize"), message);
    }

    @Test
    void logitsThatAreNoNumbersAreNeverDrawn() {
        GenerationSettings settings = GenerationSettings.sampling(3).toBuilder()
                .topK(2)
                .temperature(2)
                .build();
        for (int i = 0; i < 50; i++) {
            int id = new Sampler(settings.toBuilder().seed(i).build())
                    .next(new float[] {Float.NaN, 1, 2, 0}, new int[0], 0);
            assertTrue(id == 1 || id == 2, "drew " + id);
        }
        float[] none = {Float.NaN, Float.NaN};
        assertThrows(FineTune4jException.class, () -> new Sampler(settings).next(none, new int[0], 0));
    }

    @ParameterizedTest
    @ValueSource(doubles = {1e-3, 1e-40, 1e-300, Double.MIN_VALUE})
    void aTinyTemperatureTakesTheLikeliest(double temperature) {
        GenerationSettings settings = GenerationSettings.sampling(1).toBuilder()
                .temperature(temperature)
                .build();
        assertEquals(1, new Sampler(settings).next(new float[] {-3, 7, 6.9f}, new int[0], 0));
        assertEquals(2, new Sampler(settings).next(new float[] {-3, -7, -2}, new int[0], 0));
        assertEquals(0, new Sampler(settings).next(new float[] {0, -7, -2}, new int[0], 0));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"temperature", "repetitionPenalty", "presencePenalty", "frequencyPenalty", "noRepeatNgramSize"})
    void anyRuleOfAGreedyChoiceNeedsTheLogits(String rule) {
        GenerationSettings.Builder builder =
                GenerationSettings.builder().topK(3).minP(0.5);
        assertTrue(new Sampler(builder.build()).takesArgmax());
        switch (rule) {
            case "temperature" -> builder.temperature(0.1);
            case "repetitionPenalty" -> builder.repetitionPenalty(1.1);
            case "presencePenalty" -> builder.presencePenalty(-1);
            case "frequencyPenalty" -> builder.frequencyPenalty(1);
            default -> builder.noRepeatNgramSize(4);
        }
        assertFalse(new Sampler(builder.build()).takesArgmax());
    }

    @Test
    void theArgmaxIsTheGreedyChoice() {
        float[] logits = {Float.NaN, 2, Float.NEGATIVE_INFINITY, 5, 5};
        assertEquals(3, Sampler.argmax(logits.clone()));
        assertEquals(3, new Sampler(GenerationSettings.greedy()).next(logits, new int[0], 0));
        for (float worst : new float[] {Float.NaN, Float.NEGATIVE_INFINITY, Float.POSITIVE_INFINITY}) {
            assertThrows(FineTune4jException.class, () -> Sampler.argmax(new float[] {worst, worst}));
        }
    }

    /** As OpenAI words it: a bias of -100 forbids a token, one of 100 forces it. */
    @Test
    void aBiasIsAddedBeforeAllOtherRules() {
        GenerationSettings settings = GenerationSettings.builder()
                .logitBias(Map.of(0, -100.0, 2, 0.5))
                .repetitionPenalty(2)
                .build();
        float[] logits = {5, 1, 3, 4};
        Sampler sampler = new Sampler(settings);
        assertFalse(sampler.takesArgmax());
        sampler.processLogits(logits, new int[] {0, 2}, 2);
        assertArrayEquals(new float[] {-190, 1, 1.75f, 4}, logits);
        assertEquals(3, sampler.next(new float[] {5, 1, 3, 4}, new int[0], 0));
        GenerationSettings forced =
                GenerationSettings.builder().logitBias(Map.of(1, 100.0)).build();
        assertEquals(1, new Sampler(forced).next(new float[] {5, 1, 3, 4}, new int[0], 0));
    }

    @Test
    void likelihoodsAreThoseOfTheModelItself() {
        GenerationSettings settings =
                GenerationSettings.builder().logitBias(Map.of(1, 100.0)).build();
        TokenChooser chooser = new TokenChooser(settings, Set.of(), 0, 3, null);
        float[] logits = {1, 0, 2, 2};
        assertEquals(1, chooser.choose(logits, new int[0], 0));
        Likelihoods likelihoods = chooser.likelihoods();
        double normalizer = Math.log(Math.exp(1) + 1 + 2 * Math.exp(2));
        assertEquals(-normalizer, likelihoods.logprob(), 1e-12);
        assertArrayEquals(new int[] {2, 3, 0}, likelihoods.topIds());
        assertArrayEquals(
                new double[] {2 - normalizer, 2 - normalizer, 1 - normalizer}, likelihoods.topLogprobs(), 1e-12);
    }
}
