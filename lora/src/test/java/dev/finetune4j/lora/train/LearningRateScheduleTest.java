package dev.finetune4j.lora.train;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.lora.Fixtures;
import java.util.Locale;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class LearningRateScheduleTest {
    @ParameterizedTest
    @EnumSource
    void hasTheValuesOfTransformers(LearningRateSchedule schedule) {
        JsonNode golden = Fixtures.json(Fixtures.reference("schedules.json"));
        String name = schedule == LearningRateSchedule.CONSTANT
                ? "constant_with_warmup"
                : schedule.name().toLowerCase(Locale.ROOT);
        JsonNode rates = golden.path("values").path(name).path("lr");
        int steps = golden.path("steps").asInt();
        assertEquals(steps, rates.size());
        for (int step = 0; step < steps; step++) {
            double factor = schedule.factor(step, golden.path("warmup").asInt(), steps);
            assertEquals(rates.get(step).asDouble(), golden.path("base_lr").asDouble() * factor, 1e-12, name + step);
        }
    }
}
