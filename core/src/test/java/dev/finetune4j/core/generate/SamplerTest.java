package dev.finetune4j.core.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.tensor.Tensors;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import java.util.function.BiConsumer;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;

class SamplerTest {
    private static final int ROWS = 4;
    private static final int VOCABULARY = 64;

    @Test
    void eachRuleGivesTheLogitsOfTransformers() throws URISyntaxException {
        Path file = Path.of(Objects.requireNonNull(getClass().getResource("/generate/sampling.safetensors"))
                .toURI());
        try (SafetensorsFile golden = SafetensorsFile.open(file)) {
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

    private static void check(SafetensorsFile golden, String name, BiConsumer<float[], int[]> rule) {
        float[] input = floats(golden, "logits");
        float[] expected = floats(golden, name);
        int[] histories;
        try (Tensor tensor = golden.read("history")) {
            histories = Arrays.stream(Tensors.toLongs(tensor))
                    .mapToInt(Math::toIntExact)
                    .toArray();
        }
        int length = histories.length / ROWS;
        for (int row = 0; row < ROWS; row++) {
            float[] logits = Arrays.copyOfRange(input, row * VOCABULARY, (row + 1) * VOCABULARY);
            rule.accept(logits, Arrays.copyOfRange(histories, row * length, (row + 1) * length));
            for (int i = 0; i < VOCABULARY; i++) {
                assertEquals(expected[row * VOCABULARY + i], logits[i], 1e-5, name + " row " + row + " token " + i);
            }
        }
    }

    private static float[] floats(SafetensorsFile file, String name) {
        try (Tensor tensor = file.read(name)) {
            return Tensors.toFloats(tensor);
        }
    }

    @Test
    void drawsEveryTokenAsOftenAsItsProbabilityAndRepeatsWithTheSeed() {
        float[] logits = {(float) Math.log(0.5), (float) Math.log(0.3), (float) Math.log(0.2), Float.NEGATIVE_INFINITY};
        GenerationSettings settings =
                GenerationSettings.greedy().withTemperature(1).withSeed(5);
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
    void wrongSettingsAreAllNamed() {
        String message = assertThrows(SettingsException.class, () -> new GenerationSettings(0, -1, -1, 0, 1, 0, 0))
                .getMessage();
        for (String name : new String[] {"maxNewTokens", "temperature", "topK", "topP", "minP", "repetitionPenalty"}) {
            assertTrue(message.contains(name), message);
        }
    }
}
