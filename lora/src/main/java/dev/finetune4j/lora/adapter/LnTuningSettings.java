package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;

/**
 * LN tuning: the weights γ of norms, {@code γ ⊙ x / rms(x)}, are trained and nothing else
 * (<a href="https://arxiv.org/abs/2312.11420">Zhao et al. 2023</a>). Immutable. Names follow PEFT's {@code LNTuningConfig}.
 *
 * @param modules the norms that are trained, in all layers; a file may name linears and embeddings too, as PEFT lets it
 * @param modulesToSave as {@link LoraSettings#modulesToSave()}
 */
public record LnTuningSettings(ModuleSelection modules, List<String> modulesToSave) implements AdapterSettings {
    public LnTuningSettings {
        modulesToSave = List.copyOf(modulesToSave);
        List<String> problems = new ArrayList<>();
        if (modules.targets() instanceof TargetModules.AllLinear) {
            problems.add("LN tuning trains norms, so its targets cannot be all linears; name norms,"
                    + " such as input_layernorm, or take the defaults");
        }
        if (!modules.layers().isEmpty()) {
            problems.add("LN tuning cannot choose layers by their numbers; name the norms by their paths,"
                    + " such as layers.0.input_layernorm");
        }
        problems.addAll(SettingsChecks.modulesToSave(modulesToSave));
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** All norms of the model; those of heads that have one each are named themselves, not the modules that hold them. */
    public static LnTuningSettings defaults() {
        return of(TargetModules.matching(".*([^qk]_layernorm|_norm|\\.norm|\\.norms\\.\\d+)"));
    }

    /** The norms that the targets name. */
    public static LnTuningSettings of(TargetModules targets) {
        return new LnTuningSettings(ModuleSelection.of(targets), List.of());
    }
}
