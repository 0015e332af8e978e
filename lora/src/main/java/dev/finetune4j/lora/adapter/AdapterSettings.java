package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.ModuleNames;
import java.util.List;

/**
 * What kind of adapter it is and how it is shaped. Immutable. The kinds are the library's own and may become more; settings of
 * another class are refused with {@link IllegalArgumentException}.
 */
public interface AdapterSettings {
    /** How many virtual tokens stand before the first one; 0 for methods without. */
    default int virtualTokens() {
        return 0;
    }

    /** Peak learning rate of a training when none is given. */
    default double usualLearningRate() {
        return AdapterKinds.of(this).usualLearningRate();
    }

    /**
     * Compares the settings with the modules of a model, which config.json alone gives.
     *
     * @throws SettingsException naming everything that does not exist there
     */
    default void check(ModuleNames modules) {
        List<String> problems = AdapterKinds.of(this).problems(this, modules);
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }
}
