package dev.finetune4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ActivationPolicyTest {
    private static List<Integer> checkpointed(ActivationPolicy policy) {
        return IntStream.range(0, 7).filter(policy::checkpoints).boxed().toList();
    }

    @Test
    void saysWhichBlocksComputeAgain() {
        assertEquals(List.of(), checkpointed(ActivationPolicy.none()));
        assertEquals(List.of(0, 3, 6), checkpointed(ActivationPolicy.every(3)));
        assertEquals(List.of(0, 1, 2, 3, 4, 5, 6), checkpointed(ActivationPolicy.all()));
        assertThrows(IllegalArgumentException.class, () -> ActivationPolicy.every(-1));
    }
}
