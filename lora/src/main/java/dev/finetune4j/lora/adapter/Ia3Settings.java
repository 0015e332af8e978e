package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;

/**
 * (IA)³: what some linears put out or take in is rescaled, {@code y = l ⊙ W x} or {@code y = W (l ⊙ x)}
 * (<a href="https://arxiv.org/abs/2205.05638">Liu et al. 2022</a>). Immutable.
 *
 * @param modules the linears that are rescaled, in all layers
 * @param feedForward those among them whose input is rescaled instead of their output
 * @param modulesToSave as {@link LoraSettings#modulesToSave()}
 */
public record Ia3Settings(ModuleSelection modules, TargetModules feedForward, List<String> modulesToSave)
        implements AdapterSettings {
    public Ia3Settings {
        modulesToSave = List.copyOf(modulesToSave);
        List<String> problems = new ArrayList<>(SettingsChecks.modulesToSave(modulesToSave));
        if (!modules.layers().isEmpty()) {
            problems.add("(IA)³ cannot choose layers by their numbers; name the linears by their paths, such as"
                    + " layers.0.self_attn.k_proj");
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Keys, values and the inner activations of the feed-forward part, as in the paper. */
    public static Ia3Settings defaults() {
        return new Ia3Settings(
                ModuleSelection.of(TargetModules.matching(".*\\.(k_proj|v_proj|qkv_proj|down_proj|c_proj)")),
                TargetModules.matching(".*\\.(down_proj|c_proj)"),
                List.of());
    }
}
