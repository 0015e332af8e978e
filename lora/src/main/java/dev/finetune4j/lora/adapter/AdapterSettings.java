package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.ModuleNames;
import java.util.ArrayList;
import java.util.List;

/** What kind of adapter it is and how it is shaped. Immutable. */
public sealed interface AdapterSettings
        permits LoraSettings, Ia3Settings, PrefixSettings, PTuningSettings, PromptTuningSettings {
    /** How many virtual tokens stand before the first one; 0 for methods without. */
    default int virtualTokens() {
        return 0;
    }

    /**
     * Compares the settings with the modules of a model, which config.json alone gives.
     *
     * @throws SettingsException naming everything that does not exist there
     */
    default void check(ModuleNames modules) {
        List<String> problems = new ArrayList<>();
        if (this instanceof LoraSettings lora) {
            collect(
                    problems,
                    () -> lora.modules().resolve(modules, LoraPlans.candidates(modules), lora.trainedWhole()));
            collect(problems, () -> TrainedModules.resolve(modules, lora.trainedWhole()));
            collect(
                    problems,
                    () -> TokenRows.resolve(modules, lora.trainedTokens().keySet()));
            if (problems.isEmpty()) {
                problems.addAll(lora.conflicts(modules));
            }
        } else if (this instanceof Ia3Settings ia3) {
            collect(problems, () -> ia3.modules().resolve(modules, modules.linears(), ia3.trainedWhole()));
            collect(problems, () -> TrainedModules.resolve(modules, ia3.trainedWhole()));
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    private static void collect(List<String> problems, Runnable check) {
        try {
            check.run();
        } catch (SettingsException e) {
            problems.addAll(e.problems());
        }
    }
}
