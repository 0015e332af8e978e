package dev.finetune4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.core.ActivationCheckpointing;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ActivationCheckpointingTest {
    private static List<Integer> checkpointed(ActivationCheckpointing policy) {
        return IntStream.range(0, 7).filter(policy::recomputes).boxed().toList();
    }

    @Test
    void saysWhichBlocksComputeAgain() {
        assertEquals(List.of(), checkpointed(ActivationCheckpointing.none()));
        assertEquals(List.of(0, 3, 6), checkpointed(ActivationCheckpointing.every(3)));
        assertEquals(List.of(0, 1, 2, 3, 4, 5, 6), checkpointed(ActivationCheckpointing.all()));
        assertThrows(IllegalArgumentException.class, () -> ActivationCheckpointing.every(-1));
    }
}
