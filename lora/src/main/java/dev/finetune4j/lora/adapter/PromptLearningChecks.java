package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.List;

/** What the settings of all methods with virtual tokens demand. */
final class PromptLearningChecks {
    private PromptLearningChecks() {}

    static void requireCount(int virtualTokens) {
        if (virtualTokens < 1) {
            throw new SettingsException(List.of(
                    "the number of virtual tokens must be at least 1, but is " + virtualTokens + "; 20 is usual"));
        }
    }
}
