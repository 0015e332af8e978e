package dev.finetune4j.lora.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.SettingsException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class DataParallelSettingsTest {
    private static Map<String, String> environment() {
        return new HashMap<>(Map.of(
                "RANK", "3", "LOCAL_RANK", "1", "WORLD_SIZE", "4", "MASTER_ADDR", "node0", "MASTER_PORT", "29500"));
    }

    @Test
    void torchrunsNamesAreRead() {
        Map<String, String> environment = environment();
        DataParallel found = DataParallel.from(environment);
        assertEquals(new DataParallel(3, 1, 4, "node0", 29_500, false, Duration.ofMinutes(5)), found);
        environment.put("TORCHELASTIC_USE_AGENT_STORE", "True");
        assertTrue(DataParallel.from(environment).agentStore());
        assertEquals(
                Duration.ofSeconds(9),
                found.withJoinTimeout(Duration.ofSeconds(9)).joinTimeout());
    }

    @Test
    void allThatIsMissingOrWrongIsNamed() {
        Map<String, String> environment = environment();
        environment.remove("RANK");
        environment.remove("MASTER_ADDR");
        environment.put("WORLD_SIZE", "four");
        SettingsException wrong = assertThrows(SettingsException.class, () -> DataParallel.from(environment));
        assertEquals(3, wrong.problems().size(), wrong.getMessage());
        assertTrue(
                wrong.getMessage().contains("RANK is not set")
                        && wrong.getMessage().contains("MASTER_ADDR is not set")
                        && wrong.getMessage().contains("WORLD_SIZE is \"four\""),
                wrong.getMessage());

        wrong = assertThrows(
                SettingsException.class, () -> new DataParallel(4, -1, 4, "node0", 70_000, false, Duration.ZERO));
        assertEquals(4, wrong.problems().size(), wrong.getMessage());
        assertTrue(wrong.getMessage().contains("of 4 processes the ranks are 0 to 3"), wrong.getMessage());
    }
}
