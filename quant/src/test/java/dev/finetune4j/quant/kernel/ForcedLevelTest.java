package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.CpuLevel;
import dev.finetune4j.testsupport.Needs;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** That the other tests of every level run on the level that they are meant for. */
@EveryLevel
class ForcedLevelTest {
    @Test
    void thePropertyDecidesWhichKernelsServe() {
        String wanted = System.getProperty(CpuKernels.PROPERTY, "");
        QuantKernels kernels = QuantKernels.forDevice(ComputeDevice.cpu());
        if (wanted.equals("off")) {
            assertEquals(TorchQuantKernels.class, kernels.getClass());
            return;
        }
        Needs.cpuKernels();
        assertEquals(CpuQuantKernels.class, kernels.getClass());
        CpuLevel level = CpuKernels.get().orElseThrow().level();
        if (wanted.isEmpty()) {
            assertTrue(
                    Arrays.stream(CpuLevel.values())
                            .filter(other -> other.compareTo(level) > 0)
                            .allMatch(other -> CpuKernels.of(other).isEmpty()),
                    level + " is not the best");
        } else {
            assertEquals(wanted, level.label());
        }
    }
}
