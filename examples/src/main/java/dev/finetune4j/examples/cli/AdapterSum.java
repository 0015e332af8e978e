package dev.finetune4j.examples.cli;

import dev.finetune4j.Adapter;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.lora.adapter.Combination;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/**
 * The adapters of a task file, which count together: where LLaMA-Factory answers or exports it merges one after the other into the
 * model, so that what they change adds up. Stateless.
 */
final class AdapterSum {
    private AdapterSum() {}

    /**
     * Loads adapters as one that the model serves.
     *
     * @return its name, that of the folders with {@code +} between; none when there are no adapters
     */
    static List<String> serve(LanguageModel model, List<Path> folders) {
        if (folders.isEmpty()) {
            return List.of();
        }
        String joined = folders.stream()
                .map(folder ->
                        String.valueOf(folder.toAbsolutePath().normalize().getFileName()))
                .collect(Collectors.joining("+"));
        String name = joined.equals(AdapterNames.BASE) ? "adapter" : joined;
        model.adapters().add(name, load(model, folders));
        return List.of(name);
    }

    /**
     * Loads adapters as one.
     *
     * @param folders in PEFT's format, at least one
     * @return the caller's
     * @throws dev.finetune4j.core.SettingsException naming what cannot be added: only plain LoRA of one model can
     */
    static Adapter load(LanguageModel model, List<Path> folders) {
        if (folders.size() == 1) {
            return model.loadAdapter(folders.get(0));
        }
        List<Adapter> parts = new ArrayList<>();
        try {
            folders.forEach(folder -> parts.add(model.loadAdapter(folder)));
            return Adapter.combine(
                    Combination.of(Combination.Type.CAT),
                    parts.stream().map(part -> part.weighted(1)).toArray(Adapter.Weighted[]::new));
        } finally {
            parts.forEach(Adapter::close);
        }
    }
}
