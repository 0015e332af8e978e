package dev.finetune4j.core.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.SettingsException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class GenerationSettingsTest {
    @Test
    void eachSetterSetsOneComponent() {
        GenerationSettings all = GenerationSettings.builder()
                .maxNewTokens(5)
                .minNewTokens(1)
                .temperature(2)
                .topK(3)
                .topP(0.4)
                .minP(0.5)
                .repetitionPenalty(6)
                .presencePenalty(7)
                .frequencyPenalty(8)
                .noRepeatNgramSize(9)
                .seed(10)
                .stop("a", "b")
                .logitBias(Map.of(3, -1.5))
                .build();
        assertEquals(
                new GenerationSettings(5, 1, 2, 3, 0.4, 0.5, 6, 7, 8, 9, 10, List.of("a", "b"), Map.of(3, -1.5)), all);
        assertEquals(all, all.toBuilder().build());
        assertEquals(
                new GenerationSettings(5, 1, 2, 3, 0.4, 0.5, 6, 7, 8, 9, 11, List.of("a", "b"), Map.of(3, -1.5)),
                all.toBuilder().seed(11).build());
        assertEquals(GenerationSettings.greedy(), GenerationSettings.builder().build());
    }

    @Test
    void aSecondCallOfASetterIsAnError() {
        GenerationSettings.Builder builder = GenerationSettings.builder().topK(5);
        String message =
                assertThrows(IllegalStateException.class, () -> builder.topK(6)).getMessage();
        assertEquals("topK was already set to 5; set it once", message);
        assertEquals(5, builder.build().topK());
    }

    @Test
    void wrongSettingsAreAllNamed() {
        double none = Double.NaN;
        String message = assertThrows(
                        SettingsException.class,
                        () -> new GenerationSettings(
                                0, 1, -1, -1, 0, 2, 0, none, none, -1, 0, List.of("a", ""), Map.of(-2, 1.0)))
                .getMessage();
        for (String name : new String[] {
            "maxNewTokens",
            "minNewTokens",
            "stop[1]",
            "logitBias",
            "temperature",
            "topK",
            "topP",
            "minP",
            "repetitionPenalty",
            "presencePenalty",
            "frequencyPenalty",
            "noRepeatNgramSize"
        }) {
            assertTrue(message.contains(name), message);
        }
    }
}
