package dev.finetune4j.lora.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import java.util.List;
import java.util.Set;

/**
 * A kind of adapter: all that depends on which settings it has. Stateless. There are two forms, {@link LayerAdapterKind} of layers
 * on single modules and {@link PromptLearningKind} of virtual tokens before the first one; the kinds are registered in {@link
 * AdapterKinds}, and nobody else asks which there are.
 *
 * @param <S> its settings
 */
abstract class AdapterKind<S extends AdapterSettings> {
    private final Class<S> settings;
    private final String peftType;
    private final double usualLearningRate;

    /**
     * @param peftType what {@code adapter_config.json} calls it
     * @param usualLearningRate peak learning rate of a training when none is given
     */
    AdapterKind(Class<S> settings, String peftType, double usualLearningRate) {
        this.settings = settings;
        this.peftType = peftType;
        this.usualLearningRate = usualLearningRate;
    }

    final Class<S> settings() {
        return settings;
    }

    final String peftType() {
        return peftType;
    }

    final double usualLearningRate() {
        return usualLearningRate;
    }

    /** What does not exist in a model, or cannot be together there. */
    List<String> problems(S chosen, ModuleNames modules) {
        return List.of();
    }

    /** How large an adapter on the base will be; of the base only shapes are looked at. */
    abstract AdapterShape shape(S chosen, CausalLM base);

    /**
     * An adapter that is not trained yet.
     *
     * @throws SettingsException when the settings do not fit the model or lack a source
     */
    abstract PeftAdapter create(S chosen, CausalLM base, PeftAdapter.Sources sources);

    /** Reads the keys that are the kind's own; {@link ConfigFields#build} ends it. */
    abstract S read(ConfigFields fields, CausalLM base);

    /** Writes the keys that are the kind's own. */
    abstract void write(S chosen, ObjectNode config, CausalLM base);

    /** Parts of a tensor's path behind which a state_dict of PEFT has the adapter's name. */
    Set<String> namedByAdapter() {
        return Set.of();
    }

    /** Those among them that some versions of PEFT call a {@code weight}. */
    Set<String> alsoCalledWeight() {
        return Set.of();
    }

    /** Tensors that belong to no module, by their whole names in a file. */
    Set<String> outsideModules() {
        return Set.of();
    }

    /**
     * Makes an adapter of what a file holds.
     *
     * @throws dev.finetune4j.core.ModelFileException when the tensors do not fit; all differences are named at once
     */
    abstract PeftAdapter load(S chosen, StoredAdapter file, CausalLM base);

    /** Adds the problems that a check finds to the list. */
    static void collect(List<String> problems, Runnable check) {
        try {
            check.run();
        } catch (SettingsException e) {
            problems.addAll(e.problems());
        }
    }
}
