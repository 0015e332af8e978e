package dev.finetune4j.core.message;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class EditDistanceTest {
    @ParameterizedTest
    @CsvSource({
        "'', '', 0",
        "'', abc, 3",
        "same, same, 0",
        "kitten, sitting, 3",
        "flaw, lawn, 2",
        "lora_rnak, lora_rank, 2",
        "saturday, sunday, 3"
    })
    void countsTheFewestChangesEitherWay(String one, String other, int changes) {
        assertEquals(changes, EditDistance.between(one, other));
        assertEquals(changes, EditDistance.between(other, one));
    }
}
