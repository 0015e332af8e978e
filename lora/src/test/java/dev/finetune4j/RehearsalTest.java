package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.lora.plan.MemoryPlan;
import org.junit.jupiter.api.Test;

class RehearsalTest {
    private static MemoryPlan plan(long dequantized, long free) {
        MemoryPlan.Bytes bytes = new MemoryPlan.Bytes(400, dequantized, 0, 0, 0, 0, 300, 100, 50, 0, 0);
        return new MemoryPlan(
                "cuda:0",
                1,
                1,
                1,
                ActivationCheckpointing.none(),
                bytes,
                new DeviceMemory(free, 10_000),
                bytes.peak(),
                true,
                "");
    }

    @Test
    void memoryThatIsJustEnoughForTheTrainingIsLeftToTheModel() {
        assertTrue(Rehearsal.fitsBeside(plan(0, 900)));
        assertFalse(Rehearsal.fitsBeside(plan(0, 899)));
    }

    @Test
    void copiesThatAreMadeLaterDoNotCount() {
        assertTrue(Rehearsal.fitsBeside(plan(5_000, 900)));
    }
}
