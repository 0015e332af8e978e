package dev.finetune4j.core.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** Which GPUs are new enough. */
class TorchRuntimeCapabilityTest {
    @Test
    void fromAmpereOnGpusAreServed() {
        assertTrue(TorchRuntime.tooOld("A100", 8, 0).isEmpty());
        assertTrue(TorchRuntime.tooOld("RTX 4090", 8, 9).isEmpty());
        assertTrue(TorchRuntime.tooOld("RTX 5090", 12, 0).isEmpty());
    }

    @Test
    void anOlderOneIsNamedWithTheRemedy() {
        assertEquals(
                "Tesla T4 has compute capability 7.5, and bfloat16 products need 8.0 (Ampere) or newer; take another GPU"
                        + " or ask for the CPU",
                TorchRuntime.tooOld("Tesla T4", 7, 5).orElseThrow());
    }
}
